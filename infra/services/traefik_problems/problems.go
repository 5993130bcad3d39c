// Package problems makes problem documents (RFC 9457) of the refusals of Traefik itself. Traefik interprets it as a
// local plugin; Traefik's own middlewares can only fetch such a document from a server, which may be what is down.
//
// Its middleware has four roles. "limit" stands before a rateLimit and "admitted" after it: requests that are refused
// between the two are answered with the problem of their status, and all others reach the next handler with the
// response writer that they came with, since a wrapped one could neither be hijacked for a WebSocket nor flushed for
// server-sent events. "answer" answers each request with the problem whose status is its path, or that of 502; the errors
// middleware asks it, and puts that status on the answer.
//
// "files" serves files of a folder itself, for what must answer when nothing else does.
//
// "admitted" also keeps answers from breaking off, see body.
package problems

import (
	"context"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Config has the problem documents as JSON, by their status, and the names of the folder's files by the path of their URL.
type Config struct {
	Role     string            `json:"role,omitempty"`
	Problems map[string]string `json:"problems,omitempty"`
	Folder   string            `json:"folder,omitempty"`
	Files    map[string]string `json:"files,omitempty"`
}

// CreateConfig is called by Traefik.
func CreateConfig() *Config { return &Config{} }

type contextKey string

const writerKey contextKey = "writer"

type problem struct {
	RetryAfter int `json:"retry_after"`
}

// New is called by Traefik for each middleware and each chain that it is in.
func New(_ context.Context, next http.Handler, config *Config, _ string) (http.Handler, error) {
	switch config.Role {
	case "limit":
		return http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
			refusal := httptest.NewRecorder()
			next.ServeHTTP(refusal, request.WithContext(context.WithValue(request.Context(), writerKey, writer)))
			if refusal.Code != http.StatusOK {
				config.answer(writer, refusal.Code)
			}
		}), nil
	case "admitted":
		return http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
			if request.ContentLength > 0 {
				request.Body = &body{inner: request.Body}
			}
			next.ServeHTTP(request.Context().Value(writerKey).(http.ResponseWriter), request)
		}), nil
	case "files":
		return http.HandlerFunc(config.serve), nil
	default:
		return http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
			status, _ := strconv.Atoi(strings.TrimPrefix(request.URL.Path, "/"))
			if config.Problems[strconv.Itoa(status)] == "" {
				status = http.StatusBadGateway
			}
			config.answer(writer, status)
		}), nil
	}
}

func (config *Config) answer(writer http.ResponseWriter, status int) {
	document := config.Problems[strconv.Itoa(status)]
	var content problem
	if json.Unmarshal([]byte(document), &content) == nil && content.RetryAfter > 0 {
		writer.Header().Set("Retry-After", strconv.Itoa(content.RetryAfter))
	}
	writer.Header().Set("Content-Type", "application/problem+json")
	writer.WriteHeader(status)
	writer.Write([]byte(document))
}

func (config *Config) serve(writer http.ResponseWriter, request *http.Request) {
	name, known := config.Files[request.URL.Path]
	if !known {
		http.NotFound(writer, request)
		return
	}
	if request.Method != http.MethodGet && request.Method != http.MethodHead {
		writer.Header().Set("Allow", "GET, HEAD")
		http.Error(writer, "Only GET and HEAD are possible here.", http.StatusMethodNotAllowed)
		return
	}
	file, entry := open(filepath.Join(config.Folder, name))
	if file == nil {
		writer.Header().Set("Retry-After", "60")
		http.Error(writer, "The file is not written yet. Try again in a minute.", http.StatusServiceUnavailable)
		return
	}
	defer file.Close()
	writer.Header().Set("Cache-Control", "no-cache")
	// Traefik puts an empty list there, so that net/http does not guess.
	writer.Header().Set("Content-Type", mime.TypeByExtension(filepath.Ext(name)))
	http.ServeContent(writer, request, name, entry.ModTime(), file)
}

// open opens a plain file. Whoever writes the folder can't make it lead elsewhere: a link is not followed, even when it
// takes the file's place in between.
func open(path string) (*os.File, os.FileInfo) {
	entry, err := os.Lstat(path)
	if err != nil || !entry.Mode().IsRegular() {
		return nil, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, nil
	}
	opened, err := file.Stat()
	after, gone := os.Lstat(path)
	if err != nil || gone != nil || !after.Mode().IsRegular() || !os.SameFile(opened, after) {
		file.Close()
		return nil, nil
	}
	return file, opened
}

// body is a request's body that is not read any more after its end.
//
// net/http's transport reads a body once more after its end, to see that it is not longer than announced. When the
// answer has begun by then, net/http's server has closed the body: the read fails, and the transport closes the
// connection that the answer comes from (golang/go#40747).
type body struct {
	inner io.ReadCloser
	ended bool
}

func (body *body) Read(buffer []byte) (int, error) {
	if body.ended {
		return 0, io.EOF
	}
	count, err := body.inner.Read(buffer)
	body.ended = err == io.EOF
	return count, err
}

func (body *body) Close() error { return body.inner.Close() }
