// Command cluster runs a Kubernetes control plane on loopback for tests: etcd, kube-apiserver and the controllers of
// kube-controller-manager that Kakehi meets, all in this one process. There is no scheduler and no kubelet.
//
// This file is the order of things: what starts when, and how everything stops. `tests/cluster/start` builds and runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
)

// How long the parts may take to stop before the process ends without them: nothing here is worth keeping.
const stopWithin = 15 * time.Second

// settings is what the command line says.
type settings struct {
	kubeconfig string
	tokenKey   string
	log        string
	crds       string
	fsync      bool
	lifeline   bool
}

func main() {
	var s settings
	flag.StringVar(&s.kubeconfig, "kubeconfig", "", "where to write the administrator's kubeconfig, once everything is up (required)")
	flag.StringVar(&s.tokenKey, "token-key", "", "where to write the key that signs service account tokens, in PKCS #8 (default: nowhere)")
	flag.StringVar(&s.log, "log", "", "file for what the parts log (default: nowhere)")
	flag.StringVar(&s.crds, "crds", "", "folder of CustomResourceDefinitions to create before the controllers start")
	flag.BoolVar(&s.fsync, "fsync", false, "let etcd wait for the disk: slower, and what a measurement should say")
	flag.BoolVar(&s.lifeline, "lifeline", false, "stop when standard input ends, so that nothing outlives the process that holds it")
	flag.Parse()
	if s.kubeconfig == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if s.lifeline {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			cancel(errStopped)
		}()
	}
	if err := logTo(s.log); err != nil {
		return err
	}
	directory, err := os.MkdirTemp("", "kakehi-cluster-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(directory)

	started := time.Now()
	identity, err := newIdentity(directory)
	if err != nil {
		return fmt.Errorf("making keys: %w", err)
	}
	store, err := startEtcd(ctx, directory, s.fsync)
	if err != nil {
		return fmt.Errorf("starting etcd: %w", err)
	}
	defer within(stopWithin, store.stop)

	server, err := startAPIServer(ctx, cancel, identity, store.endpoint)
	if err != nil {
		return fmt.Errorf("starting kube-apiserver: %w", err)
	}
	defer within(stopWithin, server.stop)
	if err := server.ready(ctx); err != nil {
		return whyEnded(ctx, fmt.Errorf("kube-apiserver does not become ready: %w", err))
	}
	if s.crds != "" {
		if err := createDefinitions(ctx, identity.administrator(server.url), s.crds); err != nil {
			return whyEnded(ctx, err)
		}
	}
	manager, err := startControllers(ctx, cancel, identity, server.url)
	if err != nil {
		return fmt.Errorf("starting kube-controller-manager: %w", err)
	}
	defer within(stopWithin, manager.stop)
	if err := controllersWork(ctx, identity.administrator(server.url)); err != nil {
		return whyEnded(ctx, fmt.Errorf("the controllers do not become ready: %w", err))
	}
	if s.tokenKey != "" {
		if err := identity.writeTokenKey(s.tokenKey); err != nil {
			return err
		}
		defer os.Remove(s.tokenKey)
	}
	if err := identity.writeKubeconfig(s.kubeconfig, server.url); err != nil {
		return err
	}
	defer os.Remove(s.kubeconfig)
	fmt.Fprintf(os.Stderr, "cluster: %s is ready after %.1f s\n", server.url, time.Since(started).Seconds())
	fmt.Println(s.kubeconfig)

	<-ctx.Done()
	return whyEnded(ctx, nil)
}

// errStopped is the cause of an end that was asked for.
var errStopped = errors.New("stopped")

// whyEnded tells an end that was asked for from a part that failed.
func whyEnded(ctx context.Context, err error) error {
	switch cause := context.Cause(ctx); {
	case cause == nil:
		return err
	case errors.Is(cause, errStopped) || errors.Is(cause, context.Canceled):
		return nil
	default:
		return cause
	}
}

// within calls stop and gives up on it after a while.
func within(limit time.Duration, stop func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		stop()
	}()
	select {
	case <-done:
	case <-time.After(limit):
		fmt.Fprintln(os.Stderr, "cluster: a part did not stop in time")
	}
}

// logTo sends what the parts log to a file, for it is far too much for a terminal.
func logTo(path string) error {
	rest.SetDefaultWarningHandler(rest.NoWarnings{})
	var out io.Writer = io.Discard
	if path != "" {
		file, err := os.Create(path)
		if err != nil {
			return err
		}
		out = file
	}
	logger := slog.New(slog.NewTextHandler(out, nil))
	slog.SetDefault(logger)
	klog.SetSlogLogger(logger)
	return nil
}
