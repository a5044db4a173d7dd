// Command vmsnapshot-simulator serves a vSphere for tests: govmomi's simulator with
// snapshots, reverts, tasks and faults as a vCenter has them.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"vmsnapshot/simulator/internal/admin"
	"vmsnapshot/simulator/internal/inventory"
	"vmsnapshot/simulator/internal/sim"
)

// options are the command line.
type options struct {
	listen, hostMode, names, certOut string
	user, password                   string
	readOnlyUser, readOnlyPassword   string
	otherUser, instanceUUID          string
	vms                              int
	inVApp, endpoints                string
	datastores                       int
	plain, admin, exitWithStdin, tls bool
	cdDrive                          bool
	taskDuration                     time.Duration
}

func parse() options {
	var o options
	flag.StringVar(&o.listen, "listen", "127.0.0.1:0", "`address` to serve on; port 0 takes a free one")
	flag.IntVar(&o.vms, "vms", 3, "how many virtual machines")
	flag.StringVar(&o.names, "names", "", "their names, separated by commas (default: upstream's names)")
	flag.StringVar(&o.inVApp, "in-vapp", "", "those of the names that are in a vApp, separated by commas")
	flag.IntVar(&o.datastores, "datastores", 1, "how many datastores; each VM has a disk on each")
	flag.BoolVar(&o.cdDrive, "cd-drive", true, "whether each VM has a CD drive")
	flag.StringVar(&o.endpoints, "endpoints", "", "upstream's other services to serve, too: pbm, vapi (separated by commas; vpx only)")
	flag.StringVar(&o.hostMode, "host-mode", "vpx", "vpx (a vCenter) or esx (one host)")
	flag.StringVar(&o.instanceUUID, "instance-uuid", "", "the server's about.instanceUuid (default: upstream's, the same for all)")
	flag.BoolVar(&o.plain, "plain", false, "the upstream simulator without our behaviour")
	flag.DurationVar(&o.taskDuration, "task-duration", 50*time.Millisecond, "how long each snapshot or power task takes")
	flag.StringVar(&o.user, "user", "user", "who may log in")
	flag.StringVar(&o.password, "password", "pass", "that user's password")
	flag.StringVar(&o.readOnlyUser, "read-only-user", "", "who may log in but change nothing")
	flag.StringVar(&o.readOnlyPassword, "read-only-password", "", "that user's password")
	flag.StringVar(&o.otherUser, "other-user", "", "who may log in, too, with the same password")
	flag.BoolVar(&o.admin, "admin", false, "serve the admin endpoint on a second loopback port")
	flag.BoolVar(&o.tls, "tls", true, "serve https with a certificate made at start-up")
	flag.StringVar(&o.certOut, "cert-out", "", "write that certificate, PEM, to `file`")
	flag.BoolVar(&o.exitWithStdin, "exit-with-stdin", false, "end when stdin is closed")
	flag.Parse()
	return o
}

// ready is the one line on stdout.
type ready struct {
	URL            string `json:"url"`
	User           string `json:"user"`
	Password       string `json:"password"`
	Thumbprint     string `json:"thumbprint"`
	ThumbprintSHA1 string `json:"thumbprint_sha1"`
	Certificate    string `json:"certificate"`
	Admin          string `json:"admin"`
	PID            int    `json:"pid"`
}

func main() {
	log.SetPrefix("simulator: ")
	if err := run(parse()); err != nil {
		log.Fatal(err)
	}
}

func run(o options) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if o.exitWithStdin {
		go func() {
			if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
				log.Printf("stdin: %v", err)
			}
			stop()
		}()
	}

	config := sim.Config{
		Config:       inventory.Config{ESX: o.hostMode == "esx", VMs: o.vms, Plain: o.plain, InstanceUUID: o.instanceUUID},
		TaskDuration: o.taskDuration,
		Login:        sim.Account{User: o.user, Password: o.password},
		ReadOnly:     sim.Account{User: o.readOnlyUser, Password: o.readOnlyPassword},
		OtherUser:    o.otherUser,
	}
	config.Datastores, config.NoCDDrive = o.datastores, !o.cdDrive
	if o.inVApp != "" {
		config.InVApp = strings.Split(o.inVApp, ",")
	}
	if o.endpoints != "" {
		config.Endpoints = strings.Split(o.endpoints, ",")
	}
	if o.hostMode != "esx" && o.hostMode != "vpx" {
		return errors.New("--host-mode is vpx or esx")
	}
	if o.names != "" {
		config.Names = strings.Split(o.names, ",")
		config.VMs = len(config.Names)
	}

	listener, err := net.Listen("tcp", o.listen)
	if err != nil {
		return err
	}
	host := listener.Addr().String()
	s, err := sim.New(config, host)
	if err != nil {
		return err
	}
	defer s.Close()

	line := ready{URL: "http://" + host + "/sdk", User: o.user, Password: o.password, PID: os.Getpid()}
	if o.tls {
		pair, err := newCertificate()
		if err != nil {
			return err
		}
		line.URL = "https://" + host + "/sdk"
		line.Thumbprint, line.ThumbprintSHA1 = pair.thumbprints()
		if o.certOut != "" {
			if err := pair.write(o.certOut); err != nil {
				return err
			}
			line.Certificate = o.certOut
		}
		listener = pair.listen(listener)
	}

	failed := make(chan error, 2)
	server := &http.Server{Handler: s.Front, ReadHeaderTimeout: time.Minute}
	go func() { failed <- server.Serve(listener) }()
	defer server.Close()

	if o.admin {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		line.Admin = "http://" + listener.Addr().String()
		server := &http.Server{Handler: admin.New(s), ReadHeaderTimeout: time.Minute}
		go func() { failed <- server.Serve(listener) }()
		defer server.Close()
	}

	if err := json.NewEncoder(os.Stdout).Encode(line); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	}
}
