// Package problems makes problem documents (RFC 9457) of the refusals of Traefik itself. Traefik interprets it as a
// local plugin; Traefik's own middlewares can only fetch such a document from a server, which may be what is down.
//
// Its middleware has three roles. "limit" stands before a rateLimit and "admitted" after it: requests that are refused
// between the two are answered with the problem of their status, and all others reach the next handler with the
// response writer that they came with, since a wrapped one could neither be hijacked for a WebSocket nor flushed for
// server-sent events. "answer" answers each request with the problem whose status is its path; the errors middleware
// asks it, and puts that status on the answer.
//
// "admitted" also keeps answers from breaking off, see body.
package problems

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
)

// Config has the problem documents as JSON, by their status.
type Config struct {
	Role     string            `json:"role,omitempty"`
	Problems map[string]string `json:"problems,omitempty"`
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
	default:
		return http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
			status, _ := strconv.Atoi(strings.TrimPrefix(request.URL.Path, "/"))
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
