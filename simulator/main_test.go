package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/soap"
)

// The test binary is the command when this is set.
const asCommand = "VMSNAPSHOT_SIMULATOR_TEST_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// The command says where it listens, serves a certificate that verifies, and ends with
// its stdin.
func TestCommand(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cert.pem")
	cmd := exec.Command(os.Args[0], "--names", "web-1", "--admin", "--exit-with-stdin", "--cert-out", file)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(stdout)
	line, err := lines.ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	var r ready
	if err := json.Unmarshal(line, &r); err != nil {
		t.Fatal(err)
	}
	if r.Admin == "" || r.Certificate != file || r.PID != cmd.Process.Pid || len(r.Thumbprint) != 95 || len(r.ThumbprintSHA1) != 59 {
		t.Errorf("%+v", r)
	}

	u, err := url.Parse(r.URL)
	if err != nil {
		t.Fatal(err)
	}
	client := soap.NewClient(u, false)
	if err := client.SetRootCAs(file); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, err := vim25.NewClient(ctx, client); err != nil {
		t.Error("with the certificate given:", err)
	}
	if _, err := vim25.NewClient(ctx, soap.NewClient(u, false)); err == nil {
		t.Error("the certificate is trusted without being given")
	}

	if err := stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if rest, err := lines.ReadString('\n'); !errors.Is(err, io.EOF) || rest != "" {
		t.Error("more than one line:", rest, err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
