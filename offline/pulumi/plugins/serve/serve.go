// Package serve runs a plugin until Pulumi's engine ends.
package serve

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	provider "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil"
)

// engineCheckInterval is the longest time that a plugin runs after the engine was killed. The library's default is five
// minutes, in which a plugin could change resources that are not in the state.
const engineCheckInterval = time.Second

// Run serves a provider under the name and the version of the SDK that it serves. It does not return.
func Run(name, version string, builder *infer.ProviderBuilder) {
	if err := run(name, version, builder); err != nil {
		fmt.Fprintf(os.Stderr, "pulumi-resource-%s: %v\n", name, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func run(name, version string, builder *infer.ProviderBuilder) error {
	built, err := builder.Build()
	if err != nil {
		return err
	}
	ctx := context.Background()
	// The engine's address is the last argument.
	if engine := os.Args[len(os.Args)-1]; len(os.Args) > 1 && !strings.HasPrefix(engine, "-") {
		if err := rpcutil.Healthcheck(ctx, engine, engineCheckInterval, func() { os.Exit(1) }); err != nil {
			return fmt.Errorf("reaching the engine: %w", err)
		}
	}
	return provider.RunProvider(ctx, name, version, built)
}
