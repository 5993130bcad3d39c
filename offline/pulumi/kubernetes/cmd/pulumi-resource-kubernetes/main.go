// Command pulumi-resource-kubernetes is Pulumi's own Kubernetes provider, but for its components of YAML files.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/provider"
	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/version"
	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil"
)

// engineCheckInterval is the longest time that this plugin runs after Pulumi's engine was killed.
const engineCheckInterval = time.Second

func main() {
	schema, err := beside("schema.json")
	if err != nil {
		fail("reading the schema", err)
	}
	if err := endWithEngine(os.Args[1:]); err != nil {
		fail("reaching the engine", err)
	}
	provider.Serve("kubernetes", version.Version, schema, nil)
}

func fail(doing string, err error) {
	fmt.Fprintf(os.Stderr, "pulumi-resource-kubernetes: %s: %v\n", doing, err)
	os.Exit(1)
}

// beside reads a file in this program's folder: the build takes it from the provider's module.
func beside(name string) ([]byte, error) {
	executable, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(filepath.Dir(executable), name))
}

// endWithEngine ends this process soon after Pulumi's engine, whose address is the last argument.
func endWithEngine(arguments []string) error {
	if len(arguments) == 0 || strings.HasPrefix(arguments[len(arguments)-1], "-") {
		return nil // run by hand, to print its version
	}
	engine := arguments[len(arguments)-1]
	return rpcutil.Healthcheck(context.Background(), engine, engineCheckInterval, func() { os.Exit(1) })
}
