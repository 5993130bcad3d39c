package problems

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// slow is a connection whose Write returns a while after it has written.
type slow struct{ net.Conn }

func (slow slow) Write(bytes []byte) (int, error) {
	count, err := slow.Conn.Write(bytes)
	time.Sleep(50 * time.Millisecond)
	return count, err
}

func TestAnAnswerIsWholeThatBeginsBeforeTheProxyKnowsTheRequestsEnd(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		io.ReadAll(request.Body)
		io.WriteString(writer, "first ")
		writer.(http.Flusher).Flush()
		time.Sleep(200 * time.Millisecond)
		io.WriteString(writer, "second")
	}))
	defer api.Close()
	target, _ := url.Parse(api.URL)
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.FlushInterval = -1
	proxy.Transport = &http.Transport{DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
		connection, err := net.Dial(network, address)
		return slow{connection}, err
	}}
	admitted, _ := New(context.Background(), proxy, &Config{Role: "admitted"}, "")
	limit, _ := New(context.Background(), admitted, &Config{Role: "limit"}, "")
	edge := httptest.NewServer(limit)
	defer edge.Close()
	answer, err := http.Post(edge.URL, "text/plain", strings.NewReader("code"))
	if err != nil {
		t.Fatal(err)
	}
	if said, err := io.ReadAll(answer.Body); string(said) != "first second" || err != nil {
		t.Errorf("%q %v", said, err)
	}
}

func TestOnlyPlainFilesWithAKnownPathAreServed(t *testing.T) {
	folder := t.TempDir()
	secret := filepath.Join(t.TempDir(), "secret")
	os.WriteFile(secret, []byte("secret"), 0o600)
	os.WriteFile(filepath.Join(folder, "page.html"), []byte("page"), 0o600)
	os.WriteFile(filepath.Join(folder, "other.html"), []byte("other"), 0o600)
	os.Symlink(secret, filepath.Join(folder, "link.html"))
	os.Mkdir(filepath.Join(folder, "folder.html"), 0o700)
	files := map[string]string{"/": "page.html", "/link": "link.html", "/folder": "folder.html", "/gone": "gone.html"}
	handler, _ := New(context.Background(), nil, &Config{Role: "files", Folder: folder, Files: files}, "")
	for target, status := range map[string]int{
		"GET /": 200, "HEAD /": 200, "POST /": 405, "GET /other.html": 404, "GET /page.html": 404,
		"GET /link": 503, "GET /folder": 503, "GET /gone": 503,
	} {
		method, path, _ := strings.Cut(target, " ")
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, httptest.NewRequest(method, path, nil))
		if answer.Code != status || strings.Contains(answer.Body.String(), "secret") {
			t.Errorf("%s: %d %s", target, answer.Code, answer.Body)
		}
	}
}
