// Command pulumi-language-python is the Python language host of the Pulumi engine: it runs the program and the policy
// packs in the project's virtual environment. The official host is not available as a Go module.
//
// The engine starts it with its own gRPC address as the last argument and reads the host's port from the first line of
// stdout.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
)

// engineCheckInterval is the longest time that the host and the program run after the engine was killed.
const engineCheckInterval = time.Second

func main() {
	if err := serve(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "pulumi-language-python: %v\n", err)
		os.Exit(1)
	}
}

// serve answers the engine until a signal arrives or the engine ends. The engine normally sends a signal when the work
// is done, so nothing is printed then.
func serve(arguments []string) error {
	if len(arguments) == 0 {
		return fmt.Errorf("the engine's address is missing: this program is started by pulumi, not by hand")
	}
	engineAddress := arguments[len(arguments)-1]
	executable, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding its own folder: %w", err)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := rpcutil.Healthcheck(ctx, engineAddress, engineCheckInterval, stop); err != nil {
		return fmt.Errorf("reaching the engine at %s: %w", engineAddress, err)
	}

	programs, cancelPrograms := context.WithCancel(ctx)
	defer cancelPrograms()
	quit := make(chan bool)
	context.AfterFunc(ctx, func() { close(quit) })
	server, err := rpcutil.ServeWithOptions(rpcutil.ServeOptions{
		Cancel: quit,
		Init: func(registrar *grpc.Server) error {
			pulumirpc.RegisterLanguageRuntimeServer(registrar, &languageHost{
				lifetime:       ctx,
				programs:       programs,
				cancelPrograms: cancelPrograms,
				engineAddress:  engineAddress,
				executor:       filepath.Join(filepath.Dir(executable), "pulumi-language-python-exec"),
			})
			return nil
		},
		Options: rpcutil.TracingServerInterceptorOptions(nil),
	})
	if err != nil {
		return err
	}
	fmt.Println(server.Port)
	return <-server.Done
}
