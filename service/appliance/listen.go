package appliance

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"

	"bijou"
)

// Bounds for strangers who send slowly or much, or take what they asked for slowly.
const (
	headerBytes = 16 << 10
	idleTime    = 65 * time.Second
	// certificateAge is how long a certificate is used before its files are looked at again.
	certificateAge = 10 * time.Second
	// lastWords is how long answers may go on after the appliance was told to stop.
	lastWords = 5 * time.Second
)

// Patience is how long the appliance waits for those who send or take slowly: connections are for those who watch.
type Patience struct {
	Head    time.Duration // in which a request's head comes, once it has begun
	Grace   time.Duration // in which an answer is taken, whatever its length
	Slowest int64         // bytes a second beyond that
}

// DefaultPatience holds with the slowest who could still listen: 64 kb/s is less than sound alone needs.
var DefaultPatience = Patience{Head: 5 * time.Second, Grace: time.Minute, Slowest: 8 << 10}

// forAnswer is the time in which an answer of so many bytes is to be taken.
func (p Patience) forAnswer(length int64) time.Duration {
	return p.Grace + time.Duration(length/p.Slowest)*time.Second
}

// server returns the HTTP server of viewers: HTTP/1.1 and cleartext HTTP/2, or with a certificate both over TLS.
func (s *Service) server() *http.Server {
	srv := &http.Server{
		Handler: s, ReadHeaderTimeout: s.Patience.Head, MaxHeaderBytes: headerBytes, IdleTimeout: idleTime,
		ErrorLog:  slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug), // broken connections are the client's matter
		ConnState: s.connState,
	}
	srv.Protocols = new(http.Protocols)
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetHTTP2(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	return srv
}

// serve answers viewers on l until ctx ends, then lets answers finish for lastWords.
func (s *Service) serve(ctx context.Context, l net.Listener) error {
	srv := s.server()
	failed := make(chan error, 2)
	stop := func() {}
	if s.certificate != nil {
		srv.TLSConfig = &tls.Config{GetCertificate: s.certificate.get, MinVersion: tls.VersionTLS12, DynamicRecordSizingDisabled: true}
		go func() { failed <- srv.ServeTLS(l, "", "") }()
	} else {
		fast := newLane(s, l)
		stop = fast.stop
		go func() { failed <- fast.accept(ctx) }()
		go func() { failed <- srv.Serve(fast.slow) }()
	}
	select {
	case err := <-failed:
		if ctx.Err() == nil {
			return fmt.Errorf("appliance at %s: %w", l.Addr(), err)
		}
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- srv.Shutdown(end) }() // closes the listener
	stop()
	if err := <-ended; err != nil {
		return srv.Close() // whoever is still reading has had their time
	}
	return nil
}

func (s *Service) connState(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.connections.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.connections.Add(-1)
	}
}

// certificate is a certificate in files that are read again when they change, so that it can be renewed while viewers watch.
type certificate struct {
	certFile, keyFile string
	now               func() time.Time
	log               *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	looked  time.Time
	stamp   [2]time.Time // modification times of the two files
}

// load reads the files. It fails with Invalid where they hold no certificate with its key.
func (c *certificate) load() error {
	stamp, err := c.stamps()
	if err == nil {
		var pair tls.Certificate
		if pair, err = tls.LoadX509KeyPair(c.certFile, c.keyFile); err == nil {
			c.current, c.stamp, c.looked = &pair, stamp, c.now()
			return nil
		}
	}
	return fmt.Errorf("certificate %s with key %s cannot be used (%v): name a PEM certificate and its key: %w", c.certFile, c.keyFile, err, bijou.Invalid)
}

func (c *certificate) stamps() (out [2]time.Time, err error) {
	for i, name := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(name)
		if err != nil {
			return out, err
		}
		out[i] = info.ModTime()
	}
	return out, nil
}

// get implements tls.Config.GetCertificate. Files that are half written or gone leave the certificate before them in use.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now().Sub(c.looked) > certificateAge {
		c.looked = c.now()
		if stamp, err := c.stamps(); err != nil || stamp != c.stamp {
			if err := c.load(); err != nil {
				c.log.Warn("certificate is not renewed", "error", err)
			}
		}
	}
	return c.current, nil
}

// listen takes the address of viewers. Where the port is 0 it takes the one it had last, if that is free.
func listen(address string, last int) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("appliance.listen is %q: write host:port, such as 127.0.0.1:8081: %w", address, bijou.Invalid)
	}
	if port == "0" && last > 0 {
		if l, err := net.Listen("tcp", net.JoinHostPort(host, fmt.Sprint(last))); err == nil {
			return l, nil
		}
	}
	l, err := net.Listen("tcp", address)
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("address %s is in use by another program: stop that one, or choose another for the appliance: %w", address, bijou.Conflict)
	}
	return nil, fmt.Errorf("the appliance cannot listen at %s (%v): choose an address of this machine: %w", address, err, bijou.Invalid)
}
