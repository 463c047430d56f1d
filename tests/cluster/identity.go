package main

// Who is who: one certificate authority made for this run, and the certificates and kubeconfigs that follow from it.

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// identity holds the keys of one run, as files in its private folder where a flag wants a file.
type identity struct {
	directory   string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	caPEM       []byte
	// tokens signs service account tokens.
	tokens *ecdsa.PrivateKey
}

// pair is a certificate and its key.
type pair struct{ certificate, key []byte }

func newIdentity(directory string) (*identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "kakehi-cluster"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().AddDate(1, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	// Service account tokens have a key of their own: whoever can make them cannot make certificates.
	tokens, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	id := &identity{
		directory:   directory,
		certificate: certificate,
		key:         key,
		caPEM:       pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		tokens:      tokens,
	}
	serving, err := id.issue(pkix.Name{CommonName: "kube-apiserver"}, x509.ExtKeyUsageServerAuth)
	if err != nil {
		return nil, err
	}
	tokensPEM, err := encodeKey(tokens)
	if err != nil {
		return nil, err
	}
	for name, content := range map[string][]byte{
		"ca.crt": id.caPEM, "serving.crt": serving.certificate, "serving.key": serving.key, "tokens.key": tokensPEM,
	} {
		if err := os.WriteFile(id.file(name), content, 0o600); err != nil {
			return nil, err
		}
	}
	return id, nil
}

func (id *identity) file(name string) string { return filepath.Join(id.directory, name) }

func (id *identity) issue(subject pkix.Name, usage x509.ExtKeyUsage) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, err
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return pair{}, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      subject,
		NotBefore:    id.certificate.NotBefore,
		NotAfter:     id.certificate.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{usage},
	}
	if usage == x509.ExtKeyUsageServerAuth {
		template.DNSNames = []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"}
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, id.certificate, key.Public(), id.key)
	if err != nil {
		return pair{}, err
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return pair{}, err
	}
	return pair{pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), keyPEM}, nil
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}

// kubeconfig is one for the user of that name in those groups.
func (id *identity) kubeconfig(url, user string, groups ...string) (*clientcmdapi.Config, error) {
	issued, err := id.issue(pkix.Name{CommonName: user, Organization: groups}, x509.ExtKeyUsageClientAuth)
	if err != nil {
		return nil, err
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["kakehi"] = &clientcmdapi.Cluster{Server: url, CertificateAuthorityData: id.caPEM}
	config.AuthInfos[user] = &clientcmdapi.AuthInfo{ClientCertificateData: issued.certificate, ClientKeyData: issued.key}
	config.Contexts["kakehi"] = &clientcmdapi.Context{Cluster: "kakehi", AuthInfo: user, Namespace: "default"}
	config.CurrentContext = "kakehi"
	return config, nil
}

// administrator is the configuration of a client that may do anything.
func (id *identity) administrator(url string) *rest.Config {
	config, err := id.kubeconfig(url, "administrator", "system:masters")
	if err != nil {
		panic(err) // Random numbers and ECDSA do not fail.
	}
	client, err := clientcmd.NewDefaultClientConfig(*config, nil).ClientConfig()
	if err != nil {
		panic(err) // We made it ourselves.
	}
	client.QPS = -1
	return client
}

// writeKubeconfig hands the administrator's kubeconfig out. It appears whole, under its name, or not at all.
func (id *identity) writeKubeconfig(path, url string) error {
	config, err := id.kubeconfig(url, "administrator", "system:masters")
	if err != nil {
		return err
	}
	content, err := clientcmd.Write(*config)
	if err != nil {
		return err
	}
	return writeWhole(path, content)
}

// writeTokenKey hands out the key that signs service account tokens, as PKCS #8: with it a test makes tokens that the
// server never would, such as one that has expired.
func (id *identity) writeTokenKey(path string) error {
	der, err := x509.MarshalPKCS8PrivateKey(id.tokens)
	if err != nil {
		return err
	}
	return writeWhole(path, der)
}

func writeWhole(path string, content []byte) error {
	unfinished := path + ".unfinished"
	if err := os.WriteFile(unfinished, content, 0o600); err != nil {
		return err
	}
	return os.Rename(unfinished, path)
}
