package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/pulumi/pulumi-go-provider/infer"
	"golang.org/x/crypto/ssh"
)

const (
	pauseBetweenDials = time.Second
	// A connection without an answer for this long is closed: TCP alone does not detect that an idle peer is gone.
	keepaliveInterval = 10 * time.Second
)

// Connection holds how to reach a host: the private key, and the only host key that is accepted.
type Connection struct {
	Host           string   `pulumi:"host"`
	HostKey        string   `pulumi:"hostKey"`
	PrivateKey     string   `pulumi:"privateKey" provider:"secret"`
	Port           *float64 `pulumi:"port,optional"`
	User           *string  `pulumi:"user,optional"`
	DialErrorLimit *int     `pulumi:"dialErrorLimit,optional"`
	PerDialTimeout *int     `pulumi:"perDialTimeout,optional"`
}

func (c *Connection) Annotate(a infer.Annotator) {
	a.SetToken("remote", "Connection")
	a.Describe(&c.HostKey, "A line of authorized_keys or of ssh-keyscan without the host: ssh-ed25519 AAAA...")
	a.SetDefault(&c.Port, 22)
	a.SetDefault(&c.User, "root")
	a.SetDefault(&c.DialErrorLimit, 10)
	a.SetDefault(&c.PerDialTimeout, 15)
}

func (c Connection) address() string {
	return net.JoinHostPort(c.Host, strconv.Itoa(int(*c.Port)))
}

// dial connects. While the host can't be reached or refuses the log-in, as one that is starting may, it tries again up to
// DialErrorLimit times (-1: without limit). A host key other than the pinned one is an error at once.
//
// The connection is closed when ctx ends, or when the host stops answering.
func (c Connection) dial(ctx context.Context) (*ssh.Client, error) {
	config, err := c.clientConfig()
	if err != nil {
		return nil, err
	}
	for failures := 1; ; failures++ {
		client, err := c.dialOnce(ctx, config)
		if err == nil {
			return client, nil
		}
		var wrong *wrongHostKeyError
		if errors.As(err, &wrong) {
			return nil, wrong
		}
		if *c.DialErrorLimit >= 0 && failures > *c.DialErrorLimit {
			return nil, fmt.Errorf("%s could not be reached in %d attempts: %w", c.address(), failures, err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%s was not reached before the interruption: %w", c.address(), err)
		case <-time.After(pauseBetweenDials):
		}
	}
}

func (c Connection) clientConfig() (*ssh.ClientConfig, error) {
	signer, err := ssh.ParsePrivateKey([]byte(c.PrivateKey))
	if err != nil {
		return nil, fmt.Errorf("connection.privateKey for %s is no usable key: %w", c.address(), err)
	}
	pinned, _, _, _, err := ssh.ParseAuthorizedKey([]byte(c.HostKey))
	if err != nil {
		return nil, fmt.Errorf("connection.hostKey of %s must be like `ssh-ed25519 AAAA...`: %w", c.address(), err)
	}
	return &ssh.ClientConfig{
		User:              *c.User,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyAlgorithms: algorithms(pinned.Type()),
		HostKeyCallback: func(_ string, _ net.Addr, shown ssh.PublicKey) error {
			if string(shown.Marshal()) != string(pinned.Marshal()) {
				return &wrongHostKeyError{c.address(), ssh.FingerprintSHA256(pinned), ssh.FingerprintSHA256(shown)}
			}
			return nil
		},
	}, nil
}

// algorithms returns the signature algorithms of this type of host key. When no others are offered, a host that has
// several keys uses the pinned one.
func algorithms(keyType string) []string {
	if keyType == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{keyType}
}

func (c Connection) dialOnce(ctx context.Context, config *ssh.ClientConfig) (*ssh.Client, error) {
	if *c.PerDialTimeout > 0 {
		limited, cancel := context.WithTimeout(ctx, time.Duration(*c.PerDialTimeout)*time.Second)
		defer cancel()
		return c.connect(ctx, limited, config)
	}
	return c.connect(ctx, ctx, config)
}

// connect dials within `dialing`; the connection it returns lives until `whole` ends.
func (c Connection) connect(whole, dialing context.Context, config *ssh.ClientConfig) (*ssh.Client, error) {
	socket, err := (&net.Dialer{}).DialContext(dialing, "tcp", c.address())
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(dialing, func() { socket.Close() })
	connection, channels, requests, err := ssh.NewClientConn(socket, c.address(), config)
	if err != nil || !stop() {
		socket.Close()
		return nil, errors.Join(err, dialing.Err())
	}
	client := ssh.NewClient(connection, channels, requests)
	ended := make(chan struct{})
	go func() {
		_ = client.Wait()
		close(ended)
	}()
	go watch(whole, client, ended)
	return client, nil
}

// watch closes a connection that is no longer used, or whose peer is gone.
func watch(ctx context.Context, client *ssh.Client, ended <-chan struct{}) {
	defer client.Close()
	answered := make(chan error, 1)
	for {
		select {
		case <-ended:
			return
		case <-ctx.Done():
			return
		case <-time.After(keepaliveInterval):
		}
		go func() {
			_, _, err := client.SendRequest("keepalive@openssh.com", true, nil)
			answered <- err
		}()
		select {
		case err := <-answered:
			if err != nil {
				return
			}
		case <-ended:
			return
		case <-ctx.Done():
			return
		case <-time.After(keepaliveInterval):
			return
		}
	}
}

type wrongHostKeyError struct{ address, pinned, shown string }

func (e *wrongHostKeyError) Error() string {
	return fmt.Sprintf(
		"%s shows the host key %s, and connection.hostKey pins %s: either the host was set up anew (then pin its new "+
			"key, taken from its console), or someone is in between. Nothing was sent to it", e.address, e.shown, e.pinned)
}
