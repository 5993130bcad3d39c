package problems

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
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
