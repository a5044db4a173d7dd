package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/csv"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"os"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Files in the folder.
const (
	auditLog        = "audit.log"
	auditPolicyFile = "audit-policy.yaml"
	certificateFile = "apiserver.crt" // made by the API server beside its key; holds its authority too
	clientsFile     = "clients.crt"   // the authority whose certificates log users in
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

const (
	administrator = "admin"
	provider      = "provider"
)

// Who may log in, with their groups. Those in system:masters may do everything; the others have no
// rights beside those that everybody has, until a role gives them some.
var users = []struct{ name, groups string }{
	{administrator, "system:masters"},
	{"controller", "system:masters"},
	{provider, ""},
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
	if err := makeClientCertificate(provider); err != nil {
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
	return writeKey(keyFile, key)
}

// makeClientCertificate makes the authority for clients' certificates, and one that logs a user in.
func makeClientCertificate(user string) error {
	if _, err := os.Stat(user + ".crt"); err == nil {
		return nil
	}
	authority := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "clients"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().AddDate(1, 0, 0),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	if err := writeCertificate(clientsFile, authority, authority, &authorityKey.PublicKey, authorityKey); err != nil {
		return err
	}
	client := &x509.Certificate{
		SerialNumber: big.NewInt(2),
		Subject:      pkix.Name{CommonName: user},
		NotBefore:    authority.NotBefore,
		NotAfter:     authority.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	if err := writeKey(user+".key", key); err != nil {
		return err
	}
	return writeCertificate(user+".crt", client, authority, &key.PublicKey, authorityKey)
}

func writeKey(path string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600)
}

func writeCertificate(path string, made, authority *x509.Certificate, of *ecdsa.PublicKey, by *ecdsa.PrivateKey) error {
	der, err := x509.CreateCertificate(rand.Reader, made, authority, of, by)
	if err != nil {
		return err
	}
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
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

// writeKubeconfig writes a user's kubeconfig: with a token or, where there is none, with a certificate.
func writeKubeconfig(path, url, user, token string) error {
	authority, err := os.ReadFile(certificateFile)
	if err != nil {
		return err
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["test"] = &clientcmdapi.Cluster{Server: url, CertificateAuthorityData: authority}
	login := &clientcmdapi.AuthInfo{Token: token}
	if token == "" {
		if login.ClientCertificateData, err = os.ReadFile(user + ".crt"); err != nil {
			return err
		}
		if login.ClientKeyData, err = os.ReadFile(user + ".key"); err != nil {
			return err
		}
	}
	config.AuthInfos[user] = login
	config.Contexts[user] = &clientcmdapi.Context{Cluster: "test", AuthInfo: user}
	config.CurrentContext = user
	return clientcmd.WriteToFile(*config, path)
}
