// A reverse proxy as one writes it with Go's standard library: httputil.ReverseProxy, a static
// bearer, one access log line a request on standard output.
package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"sync"
	"time"
)

// counted remembers the status and the bytes of an answer, for the log.
type counted struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (c *counted) WriteHeader(status int) {
	c.status = status
	c.ResponseWriter.WriteHeader(status)
}

func (c *counted) Write(data []byte) (int, error) {
	n, err := c.ResponseWriter.Write(data)
	c.bytes += int64(n)
	return n, err
}

func (c *counted) Flush() { c.ResponseWriter.(http.Flusher).Flush() }

// buffers lends copy buffers, as the documentation of ReverseProxy advises.
type buffers struct{ sync.Pool }

func (b *buffers) Get() []byte  { return b.Pool.Get().([]byte) }
func (b *buffers) Put(x []byte) { b.Pool.Put(x) }

func main() {
	listen, target, bearer, authority := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	origin, err := url.Parse(target)
	if err != nil {
		log.Fatal(err)
	}
	pem, err := os.ReadFile(authority)
	if err != nil {
		log.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	out := bufio.NewWriterSize(os.Stdout, 64<<10)
	var lock sync.Mutex
	go func() {
		for range time.Tick(time.Second) {
			lock.Lock()
			out.Flush()
			lock.Unlock()
		}
	}()
	access := log.New(&locked{out, &lock}, "", log.LstdFlags|log.Lmicroseconds)
	proxy := &httputil.ReverseProxy{
		Director: func(r *http.Request) {
			r.URL.Scheme, r.URL.Host, r.Host = origin.Scheme, origin.Host, origin.Host
			r.Header.Set("Authorization", bearer)
		},
		Transport: &http.Transport{
			TLSClientConfig:     &tls.Config{RootCAs: roots},
			MaxIdleConns:        128,
			MaxIdleConnsPerHost: 128,
			IdleConnTimeout:     90 * time.Second,
			DisableCompression:  true,
		},
		BufferPool: &buffers{sync.Pool{New: func() any { return make([]byte, 32<<10) }}},
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		answer := &counted{ResponseWriter: w, status: 200}
		proxy.ServeHTTP(answer, r)
		access.Printf("%s %s %s %d %d %s", r.RemoteAddr, r.Method, r.URL.Path, answer.status, answer.bytes, time.Since(start))
	})
	log.Fatal((&http.Server{Addr: listen, Handler: handler}).ListenAndServe())
}

// locked shares the buffered output with the flusher.
type locked struct {
	out  *bufio.Writer
	lock *sync.Mutex
}

func (l *locked) Write(data []byte) (int, error) {
	l.lock.Lock()
	defer l.lock.Unlock()
	return l.out.Write(data)
}
