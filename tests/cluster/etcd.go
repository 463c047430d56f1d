package main

// etcd inside the process, behind a socket file in the private folder of this run: no port, no TLS, nobody else.

import (
	"context"
	"errors"
	"net/url"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// store is a running etcd.
type store struct {
	endpoint string
	stop     func()
}

func startEtcd(ctx context.Context, directory string, fsync bool) (*store, error) {
	config := embed.NewConfig()
	config.Dir = filepath.Join(directory, "etcd")
	config.UnsafeNoFsync = !fsync
	config.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	// Tests come in bursts and then end: history is compacted by the API server, every five minutes.
	config.QuotaBackendBytes = 4 << 30

	client := url.URL{Scheme: "unix", Path: filepath.Join(directory, "etcd.sock")}
	peer := url.URL{Scheme: "unix", Path: filepath.Join(directory, "peer.sock")}
	config.ListenClientUrls = []url.URL{client}
	config.AdvertiseClientUrls = []url.URL{client}
	config.ListenPeerUrls = []url.URL{peer}
	config.AdvertisePeerUrls = []url.URL{peer}
	config.InitialCluster = config.InitialClusterFromName(config.Name)

	server, err := embed.StartEtcd(config)
	if err != nil {
		return nil, err
	}
	select {
	case <-server.Server.ReadyNotify():
		return &store{endpoint: client.String(), stop: server.Close}, nil
	case err := <-server.Err():
		return nil, err
	case <-ctx.Done():
		server.Close()
		return nil, context.Cause(ctx)
	case <-time.After(time.Minute):
		server.Close()
		return nil, errors.New("not ready after a minute")
	}
}
