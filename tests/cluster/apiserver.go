package main

// kube-apiserver inside the process, with the flags that a cluster has: TLS, RBAC, service account tokens.

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/spf13/pflag"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"
)

// readyWithin is how long a part may take to come up; on a busy machine with two cores it takes a fifth of it.
const readyWithin = 2 * time.Minute

// server is a running kube-apiserver.
type server struct {
	url   string
	stop  func()
	admin func() (*kubernetes.Clientset, error)
}

func startAPIServer(ctx context.Context, failed context.CancelCauseFunc, id *identity, etcd string) (*server, error) {
	// Bound here, so that nobody can take the port before the server does.
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := listener.Addr().(*net.TCPAddr)

	s := options.NewServerRunOptions()
	s.SecureServing.Listener = listener
	s.SecureServing.BindPort = address.Port
	s.SecureServing.ExternalAddress = address.IP
	err = parse(s.Flags().FlagSets,
		"--etcd-servers="+etcd,
		"--bind-address=127.0.0.1",
		"--tls-cert-file="+id.file("serving.crt"),
		"--tls-private-key-file="+id.file("serving.key"),
		"--client-ca-file="+id.file("ca.crt"),
		"--authorization-mode=Node,RBAC",
		// As on OpenShift: who makes an object that blocks the deletion of another needs a right to that one.
		"--enable-admission-plugins=OwnerReferencesPermissionEnforcement",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file="+id.file("tokens.key"),
		"--service-account-signing-key-file="+id.file("tokens.key"),
		"--service-cluster-ip-range=10.0.0.0/24",
		// There is no network to announce the server in: the Service `kubernetes` leads nowhere.
		"--endpoint-reconciler-type=none",
	)
	if err != nil {
		return nil, err
	}
	if err := s.GenericServerRunOptions.ComponentGlobalsRegistry.Set(); err != nil {
		return nil, err
	}
	completed, err := s.Complete(ctx)
	if err != nil {
		return nil, err
	}
	if errs := completed.Validate(); len(errs) > 0 {
		return nil, utilerrors.NewAggregate(errs)
	}
	// It is stopped in turn, after the controllers, and not by the end of ctx.
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err := app.Run(running, completed)
		if running.Err() == nil {
			failed(fmt.Errorf("kube-apiserver ended: %w", errors.Join(errors.New("without being asked to"), err)))
		}
	}()
	url := "https://" + address.String()
	return &server{
		url:   url,
		stop:  func() { stop(); <-ended },
		admin: func() (*kubernetes.Clientset, error) { return kubernetes.NewForConfig(id.administrator(url)) },
	}, nil
}

// ready waits until the server says that it is, which includes its bootstrap roles.
func (s *server) ready(ctx context.Context) error {
	client, err := s.admin()
	if err != nil {
		return err
	}
	var last error
	err = wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, readyWithin, true, func(ctx context.Context) (bool, error) {
		_, last = client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		return last == nil, nil
	})
	if err != nil {
		return errors.Join(err, last)
	}
	return nil
}

// parse reads flags as the command of their owner would.
func parse(sets map[string]*pflag.FlagSet, arguments ...string) error {
	all := pflag.NewFlagSet("", pflag.ContinueOnError)
	for _, set := range sets {
		all.AddFlagSet(set)
	}
	return all.Parse(arguments)
}
