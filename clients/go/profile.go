package bbq

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/BurntSushi/toml"
)

// Profile says how to reach a server. The fields are the keys of client.toml, which `bbq serve` writes.
type Profile struct {
	// URL is https://host:port, or http://127.0.0.1:port for HTTP/2 without TLS on loopback. The port is 6789 unless given.
	URL string `toml:"url"`
	// CA signed the server's certificate: a path, or the PEM text itself.
	CA string `toml:"ca"`
	// Token is sent with each call.
	Token string `toml:"token"`
	// ClientCertificate and ClientKey are the client's own, where the server asks for them: paths or PEM texts.
	ClientCertificate string `toml:"client_certificate"`
	ClientKey         string `toml:"client_key"`
	// Transport is auto (HTTP/3, or HTTP/2 where UDP does not get through; the default), http3 or http2.
	Transport string `toml:"transport"`
}

const (
	profilePath     = "bbq-data/client.toml"
	profileVariable = "BBQ_PROFILE"
	defaultPort     = "6789"
)

// LoadProfile reads a profile from a TOML file; paths in it are relative to the file.
func LoadProfile(path string) (*Profile, error) {
	profile := new(Profile)
	meta, err := toml.DecodeFile(path, profile)
	if err != nil {
		return nil, fmt.Errorf("cannot read the profile %s: %w; `bbq serve` writes one into its data directory", path, err)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return nil, fmt.Errorf("%s: %s is not a key of a profile", path, unknown[0])
	}
	for _, pem := range []*string{&profile.CA, &profile.ClientCertificate, &profile.ClientKey} {
		if *pem != "" && !inline(*pem) && !filepath.IsAbs(*pem) {
			*pem = filepath.Join(filepath.Dir(path), *pem)
		}
	}
	return profile, nil
}

// FindProfile loads the profile that BBQ_PROFILE names, else ./bbq-data/client.toml.
func FindProfile() (*Profile, error) {
	if path := os.Getenv(profileVariable); path != "" {
		return LoadProfile(path)
	}
	if _, err := os.Stat(profilePath); err != nil {
		return nil, fmt.Errorf("there is no profile at ./%s; start a server here with `bbq serve`, or name a profile with %s",
			profilePath, profileVariable)
	}
	return LoadProfile(profilePath)
}

func inline(pem string) bool { return strings.Contains(pem, "-----BEGIN") }

// address is the URL with its port.
func (p *Profile) address() (string, error) {
	parsed, err := url.Parse(p.URL)
	if err != nil || parsed.Hostname() == "" || (parsed.Scheme != "https" && parsed.Scheme != "http") {
		return "", fmt.Errorf("url is %q; this client needs https://host:port or http://127.0.0.1:port", p.URL)
	}
	if parsed.Scheme == "http" && !isLoopback(parsed.Hostname()) {
		return "", fmt.Errorf("%s would send everything in the clear: use https, http is for loopback", p.URL)
	}
	switch p.Transport {
	case "", "auto", "http2":
	case "http3":
		if parsed.Scheme == "http" {
			return "", fmt.Errorf("%s cannot speak HTTP/3, which needs https", p.URL)
		}
	default:
		return "", fmt.Errorf("transport is %q; it may be auto, http3 or http2", p.Transport)
	}
	port := parsed.Port()
	if port == "" {
		port = defaultPort
	}
	return parsed.Scheme + "://" + net.JoinHostPort(parsed.Hostname(), port), nil
}

func isLoopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

func (p *Profile) tls() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if p.CA != "" {
		pem, err := p.pem("ca", p.CA)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("`ca` of the profile has no certificate")
		}
	}
	if p.ClientCertificate != "" {
		certificate, err := p.pem("client_certificate", p.ClientCertificate)
		if err != nil {
			return nil, err
		}
		key, err := p.pem("client_key", p.ClientKey)
		if err != nil {
			return nil, err
		}
		pair, err := tls.X509KeyPair(certificate, key)
		if err != nil {
			return nil, fmt.Errorf("`client_certificate` and `client_key` of the profile: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

func (p *Profile) pem(key, value string) ([]byte, error) {
	if inline(value) {
		return []byte(value), nil
	}
	text, err := os.ReadFile(value)
	if err != nil {
		return nil, fmt.Errorf("cannot read `%s` of the profile: %w", key, err)
	}
	return text, nil
}
