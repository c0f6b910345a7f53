package kafkatest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Files of a CA's folder; Kafka reads the first two as PEM stores.
const (
	caFile      = "ca.pem"
	brokerStore = "broker-store.pem" // private key, then the chain
	validFor    = 10 * 365 * 24 * time.Hour
)

// CA is a certificate authority made for one test.
type CA struct {
	// File holds its certificate, PEM.
	File string

	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Cert names the PEM files of a certificate and its private key (PKCS#8).
type Cert struct{ CertFile, KeyFile string }

// NewCA makes a CA in dir. A second one is a stranger to the cluster: use it for
// the cases that must be refused.
func NewCA(dir string) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	tmpl := template("limpet-test-ca")
	tmpl.IsCA, tmpl.BasicConstraintsValid, tmpl.KeyUsage = true, true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	ca := &CA{File: filepath.Join(dir, caFile), dir: dir, cert: cert, key: key}
	return ca, writePEM(ca.File, block("CERTIFICATE", der))
}

// Issue signs a certificate that serves 127.0.0.1 and localhost and is a client's
// too; its files are called name.pem and name.key.
func (ca *CA) Issue(name string) (Cert, error) {
	c, _, err := ca.issue(name)
	return c, err
}

// issueStore is Issue for a broker: it writes a PEM store as well.
func (ca *CA) issueStore(name, store string) error {
	_, blocks, err := ca.issue(name)
	if err != nil {
		return err
	}
	return writePEM(filepath.Join(ca.dir, store), append(blocks, block("CERTIFICATE", ca.cert.Raw))...)
}

// issue returns the key's and the certificate's block beside the files.
func (ca *CA) issue(name string) (Cert, []*pem.Block, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Cert{}, nil, err
	}
	tmpl := template(name)
	tmpl.KeyUsage = x509.KeyUsageDigitalSignature
	tmpl.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	tmpl.DNSNames, tmpl.IPAddresses = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca.cert, key.Public(), ca.key)
	if err != nil {
		return Cert{}, nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Cert{}, nil, err
	}
	c := Cert{CertFile: filepath.Join(ca.dir, name+".pem"), KeyFile: filepath.Join(ca.dir, name+".key")}
	if err := writePEM(c.CertFile, block("CERTIFICATE", der)); err != nil {
		return Cert{}, nil, err
	}
	if err := writePEM(c.KeyFile, block("PRIVATE KEY", pkcs8)); err != nil {
		return Cert{}, nil, err
	}
	return c, []*pem.Block{block("PRIVATE KEY", pkcs8), block("CERTIFICATE", der)}, nil
}

// TLSConfig trusts ca alone and shows the given certificates.
func (ca *CA) TLSConfig(certs ...Cert) (*tls.Config, error) {
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	cfg := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	for _, c := range certs {
		pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("kafkatest: %w", err)
		}
		cfg.Certificates = append(cfg.Certificates, pair)
	}
	return cfg, nil
}

func template(name string) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		panic(err) // crypto/rand never fails on a system that runs
	}
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(validFor),
	}
}

func block(kind string, der []byte) *pem.Block { return &pem.Block{Type: kind, Bytes: der} }

func writePEM(file string, blocks ...*pem.Block) error {
	var out []byte
	for _, b := range blocks {
		out = append(out, pem.EncodeToMemory(b)...)
	}
	return os.WriteFile(file, out, 0o600)
}
