package cli

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"
)

// checkPprof refuses an address that other machines could reach: profiles show what the
// process works on.
func checkPprof(addr string) error {
	if addr == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%w: --pprof %s: %w", errSettings, addr, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("%w: --pprof %s: profiles are for this machine only: name a loopback address, 127.0.0.1:6060 or localhost:0", errSettings, addr)
	}
	return nil
}

// requestMax bounds the head of a request, and its body: one path reads bodies, of addresses.
const requestMax = 64 << 10

// bounded refuses requests with a larger body.
func bounded(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > requestMax {
			http.Error(w, fmt.Sprintf("the body has %d bytes, at most %d may be sent", r.ContentLength, requestMax), http.StatusRequestEntityTooLarge)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, requestMax)
		h.ServeHTTP(w, r)
	})
}

// servePprof serves profiles until stop is called.
func servePprof(addr string, log *slog.Logger) (stop func(), err error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%w: --pprof: %w", errSettings, err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	srv := &http.Server{Handler: bounded(mux), ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: requestMax}
	go func() { _ = srv.Serve(l) }() // ends with Close
	log.Info("profiles", "url", "http://"+l.Addr().String()+"/debug/pprof/")
	return func() { _ = srv.Close() }, nil
}
