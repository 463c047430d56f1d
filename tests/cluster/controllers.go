package main

// kube-controller-manager inside the process: the controllers that Kakehi's objects meet in a cluster, each under its
// own service account and the roles that Kubernetes gives it.

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/kubernetes/cmd/kube-controller-manager/app"
	"k8s.io/kubernetes/cmd/kube-controller-manager/app/options"
	"k8s.io/kubernetes/cmd/kube-controller-manager/names"
)

// What runs. Schedulers, kubelets and whatever serves long-running workloads are left out.
var controllers = []string{
	names.JobController,
	names.TTLAfterFinishedController,
	names.GarbageCollectorController,
	names.PodGarbageCollectorController,
	names.NamespaceController,
	names.ResourceQuotaController,
	names.ServiceAccountController,
	names.ServiceAccountTokenController,
	names.RootCACertificatePublisherController,
	names.ClusterRoleAggregationController,
}

// manager is a running kube-controller-manager.
type manager struct{ stop func() }

func startControllers(ctx context.Context, failed context.CancelCauseFunc, id *identity, url string) (*manager, error) {
	kubeconfig, err := id.kubeconfig(url, "system:kube-controller-manager")
	if err != nil {
		return nil, err
	}
	if err := clientcmd.WriteToFile(*kubeconfig, id.file("controllers.kubeconfig")); err != nil {
		return nil, err
	}
	s, err := options.NewKubeControllerManagerOptions()
	if err != nil {
		return nil, err
	}
	known, disabled, aliases := app.KnownControllers(), app.ControllersDisabledByDefault(), app.ControllerAliases()
	sets := s.Flags(known, disabled, aliases)
	s.ParsedFlags = &sets
	err = parse(sets.FlagSets,
		"--controllers="+strings.Join(controllers, ","),
		"--kubeconfig="+id.file("controllers.kubeconfig"),
		"--leader-elect=false",
		// No port: whether they work is seen by what they do.
		"--secure-port=0",
		"--use-service-account-credentials",
		"--service-account-private-key-file="+id.file("tokens.key"),
		"--root-ca-file="+id.file("ca.crt"),
		// The default, 20 a second, is for clusters where others want to be heard too.
		"--kube-api-qps=2000",
		"--kube-api-burst=4000",
	)
	if err != nil {
		return nil, err
	}
	config, err := s.Config(ctx, known, disabled, aliases)
	if err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err := app.Run(running, config.Complete())
		if running.Err() == nil {
			failed(fmt.Errorf("kube-controller-manager ended: %w", errors.Join(errors.New("without being asked to"), err)))
		}
	}()
	return &manager{stop: func() { stop(); <-ended }}, nil
}
