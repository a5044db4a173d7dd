// Command vmsnapshot-kube-apiserver is a real kube-apiserver with its etcd, as one program for tests and
// the demo: it makes its own keys, users and certificate, and keeps everything in one folder. Started
// again with the same folder and port it has the same data, users and certificate, also after a kill.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

const startTimeout = 2 * time.Minute

// ready is the one line on stdout.
type ready struct {
	URL         string            `json:"url"`
	Kubeconfig  string            `json:"kubeconfig"`  // the administrator's
	Kubeconfigs map[string]string `json:"kubeconfigs"` // by user
	Certified   string            `json:"certified"`   // the provider's, with a certificate in place of the token
	Certificate string            `json:"certificate"`
	AuditLog    string            `json:"audit_log"`
	PID         int               `json:"pid"`
}

func main() {
	log.SetPrefix("kube-apiserver: ")
	dir := flag.String("dir", "", "`folder` for data, keys, kubeconfig files and logs (needed)")
	port := flag.Int("port", 0, "loopback port to serve on; 0 takes a free one")
	withStdin := flag.Bool("exit-with-stdin", false, "end when stdin is closed")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: vmsnapshot-kube-apiserver --dir FOLDER [flags] [-- flags of kube-apiserver]")
		flag.PrintDefaults()
	}
	flag.Parse()
	if *dir == "" {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(*dir, *port, *withStdin, flag.Args()); err != nil {
		log.Fatalf("%v (its log is in %s)", err, filepath.Join(*dir, "log"))
	}
}

func run(dir string, port int, withStdin bool, further []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if withStdin {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			stop()
		}()
	}

	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	// Every path is relative from here on: the path of a Unix socket may only be about 100 bytes long.
	if err := os.Chdir(dir); err != nil {
		return err
	}
	stdout := os.Stdout
	logFile, err := os.OpenFile("log", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	os.Stdout, os.Stderr = logFile, logFile // where both servers log

	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	tokens, err := makeKeys()
	if err != nil {
		return err
	}
	if err := startEtcd(ctx); err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, listener, further) }()
	url := "https://" + listener.Addr().String()
	if err := waitUntilReady(ctx, url, tokens[administrator], ended); err != nil {
		return err
	}

	line := ready{
		URL:         url,
		Kubeconfigs: map[string]string{},
		Certificate: filepath.Join(dir, certificateFile),
		AuditLog:    filepath.Join(dir, auditLog),
		PID:         os.Getpid(),
	}
	for user, token := range tokens {
		path := filepath.Join(dir, user+".kubeconfig")
		if err := writeKubeconfig(path, url, user, token); err != nil {
			return err
		}
		line.Kubeconfigs[user] = path
	}
	line.Kubeconfig = line.Kubeconfigs[administrator]
	line.Certified = filepath.Join(dir, provider+"-certificate.kubeconfig")
	if err := writeKubeconfig(line.Certified, url, provider, ""); err != nil {
		return err
	}
	if err := json.NewEncoder(stdout).Encode(line); err != nil {
		return err
	}

	select {
	case err := <-ended:
		if ctx.Err() == nil {
			return fmt.Errorf("the API server ended by itself: %w", err)
		}
	case <-ctx.Done():
		// Both servers would let their clients end first, which takes seconds and serves nobody here.
	}
	return nil
}

// waitUntilReady waits until the server says that it is ready, or ended.
func waitUntilReady(ctx context.Context, url, token string, ended <-chan error) error {
	deadline := time.Now().Add(startTimeout)
	for said := errors.New("not asked yet"); said != nil; {
		select {
		case err := <-ended:
			return fmt.Errorf("the API server ended while it started: %w", err)
		case <-ctx.Done():
			return errors.New("stopped while it started")
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the API server isn't ready after %s: %w", startTimeout, said)
		}
		said = ask(ctx, url+"/readyz", token)
	}
	return nil
}

func ask(ctx context.Context, url, token string) error {
	authority, err := os.ReadFile(certificateFile)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	answer, err := (&http.Client{Transport: transport, Timeout: time.Second}).Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return errors.New(answer.Status)
	}
	return nil
}
