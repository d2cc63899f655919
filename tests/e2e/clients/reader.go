// A client of Go's own HTTP/2, as container tools are: it reads URLs in small steps, and says what it has read.
package main

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// What was read of one URL.
type read struct {
	Proto  string `json:"proto"`
	Status int    `json:"status"`
	Digest string `json:"digest"`
}

func main() {
	ca := flag.String("ca", "", "file with the authority to trust")
	step := flag.Int("step", 4096, "bytes of one read")
	burst := flag.Int("burst", 0, "bytes between two pauses")
	pause := flag.Duration("pause", 0, "how long a pause is")
	flag.Parse()
	client, err := trusting(*ca)
	if err != nil {
		fail(err)
	}
	for _, url := range flag.Args() {
		one, err := get(client, url, *step, *burst, *pause)
		if err != nil {
			fail(fmt.Errorf("%s: %w", url, err))
		}
		if err := json.NewEncoder(os.Stdout).Encode(one); err != nil {
			fail(err)
		}
	}
}

func trusting(file string) (*http.Client, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New("no certificate in " + file)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	return &http.Client{Transport: transport}, nil
}

func get(client *http.Client, url string, step, burst int, pause time.Duration) (*read, error) {
	answer, err := client.Get(url)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	digest := sha256.New()
	piece := make([]byte, step)
	for since := 0; ; {
		length, err := io.ReadFull(answer.Body, piece)
		digest.Write(piece[:length])
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if since += length; burst > 0 && since >= burst {
			time.Sleep(pause)
			since = 0
		}
	}
	sum := fmt.Sprintf("sha256:%x", digest.Sum(nil))
	return &read{Proto: answer.Proto, Status: answer.StatusCode, Digest: sum}, nil
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
