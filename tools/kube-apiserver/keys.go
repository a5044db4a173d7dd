package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/csv"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Files in the folder.
const (
	auditLog        = "audit.log"
	auditPolicyFile = "audit-policy.yaml"
	certificateFile = "apiserver.crt" // made by the API server beside its key; holds its authority too
	keyFile         = "service-accounts.key"
	tokenFile       = "tokens.csv"
)

// Each request is logged when it comes in, before it has any effect: whoever has seen its result finds
// it in the log.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [ResponseStarted, ResponseComplete, Panic]
rules:
- level: Metadata
`

const administrator = "admin"

// Who may log in, with their groups. The users that may do everything differ only in name, so that the
// audit log tells them apart. The last one has no rights beside those that everybody has.
var users = []struct{ name, groups string }{
	{administrator, "system:masters"},
	{"controller", "system:masters"},
	{"provider", "system:masters"},
	{"reader-less", ""},
}

// makeKeys makes what the API server reads at its start, unless it is there; gives the tokens by user.
func makeKeys() (map[string]string, error) {
	if err := os.WriteFile(auditPolicyFile, []byte(auditPolicy), 0o600); err != nil {
		return nil, err
	}
	if err := makeServiceAccountKey(); err != nil {
		return nil, err
	}
	rows, err := readTokens()
	if errors.Is(err, fs.ErrNotExist) {
		rows, err = makeTokens()
	}
	if err != nil {
		return nil, err
	}
	tokens := map[string]string{}
	for _, row := range rows {
		tokens[row[1]] = row[0]
	}
	return tokens, nil
}

func makeServiceAccountKey() error {
	if _, err := os.Stat(keyFile); err == nil {
		return nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600)
}

func readTokens() ([][]string, error) {
	file, err := os.Open(tokenFile)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return csv.NewReader(file).ReadAll()
}

func makeTokens() ([][]string, error) {
	var rows [][]string
	for _, user := range users {
		rows = append(rows, []string{rand.Text(), user.name, user.name, user.groups})
	}
	file, err := os.OpenFile(tokenFile, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return rows, csv.NewWriter(file).WriteAll(rows)
}

func writeKubeconfig(path, url, user, token string) error {
	authority, err := os.ReadFile(certificateFile)
	if err != nil {
		return err
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["test"] = &clientcmdapi.Cluster{Server: url, CertificateAuthorityData: authority}
	config.AuthInfos[user] = &clientcmdapi.AuthInfo{Token: token}
	config.Contexts[user] = &clientcmdapi.Context{Cluster: "test", AuthInfo: user}
	config.CurrentContext = user
	return clientcmd.WriteToFile(*config, path)
}
