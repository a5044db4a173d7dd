package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"

	"github.com/spf13/pflag"
	"go.etcd.io/etcd/server/v3/embed"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/rest"
	logsapi "k8s.io/component-base/logs/api/v1"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"
)

// Files in the current folder. etcd insists on a port, and takes it for a part of the name.
const (
	clientSocket = "unix://etcd-clients:0"
	peerSocket   = "unix://etcd-peers:0" // never used, but etcd must have one
)

// startEtcd starts the database in the current folder and waits until it serves.
func startEtcd(ctx context.Context) error {
	config := embed.NewConfig()
	config.Dir = "etcd"
	config.UnsafeNoFsync = true // data outlives a kill of the process; nobody needs it to outlive the machine
	config.LogLevel = "warn"
	config.LogOutputs = []string{"log"}
	client, err := url.Parse(clientSocket)
	if err != nil {
		return err
	}
	peer, err := url.Parse(peerSocket)
	if err != nil {
		return err
	}
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{*client}, []url.URL{*client}
	config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{*peer}, []url.URL{*peer}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	etcd, err := embed.StartEtcd(config)
	if err != nil {
		return err
	}
	select {
	case <-etcd.Server.ReadyNotify():
		return nil
	case err := <-etcd.Err():
		return err
	case <-ctx.Done():
		return errors.New("stopped while it started")
	}
}

// serve runs the API server until the context ends. It does what the kube-apiserver command does, but
// with a listener that is already there (so that nobody else can take its port) and a context of ours.
func serve(ctx context.Context, listener net.Listener, further []string) error {
	port := listener.Addr().(*net.TCPAddr).Port
	arguments := append([]string{
		"--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", port),
		"--cert-dir=.",
		"--etcd-servers=" + clientSocket,
		"--authorization-mode=RBAC",
		"--token-auth-file=" + tokenFile,
		"--client-ca-file=" + clientsFile,
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + keyFile,
		"--service-account-signing-key-file=" + keyFile,
		"--audit-policy-file=" + auditPolicyFile,
		"--audit-log-path=" + auditLog,
		// What other programs of a cluster would do, and there are none here.
		"--service-cluster-ip-range=10.0.0.0/24",
		"--endpoint-reconciler-type=none",
		"--disable-admission-plugins=ServiceAccount",
		"--enable-priority-and-fairness=false",
	}, further...)

	s := options.NewServerRunOptions()
	flags := pflag.NewFlagSet("kube-apiserver", pflag.ContinueOnError)
	for _, set := range s.Flags().FlagSets {
		flags.AddFlagSet(set)
	}
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	s.SecureServing.Listener = listener
	if err := s.GenericServerRunOptions.ComponentGlobalsRegistry.Set(); err != nil {
		return err
	}
	if err := logsapi.ValidateAndApply(s.Logs, utilfeature.DefaultFeatureGate); err != nil {
		return err
	}
	rest.SetDefaultWarningHandler(rest.NoWarnings{}) // those that its own client gets from itself
	completed, err := s.Complete(ctx)
	if err != nil {
		return err
	}
	if errs := completed.Validate(); len(errs) != 0 {
		return utilerrors.NewAggregate(errs)
	}
	return app.Run(ctx, completed)
}
