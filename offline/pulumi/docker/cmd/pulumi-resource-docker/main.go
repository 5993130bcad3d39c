// Command pulumi-resource-docker is the upstream Docker provider for Terraform under Pulumi's bridge, as the official
// plugin of the same name is.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfgen"
	"github.com/pulumi/pulumi/sdk/v3/go/common/diag"
	"github.com/pulumi/pulumi/sdk/v3/go/common/diag/colors"
	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil"
)

// engineCheckInterval is the longest time that this plugin runs after Pulumi's engine was killed.
const engineCheckInterval = time.Second

func main() {
	info := providerInfo()
	schema, err := packageSchema(info)
	if err != nil {
		fail("making the schema", err)
	}
	if err := endWithEngine(os.Args[1:]); err != nil {
		fail("reaching the engine", err)
	}
	tfbridge.Main(info.Name, info.Version, info, schema)
}

func fail(doing string, err error) {
	fmt.Fprintf(os.Stderr, "pulumi-resource-docker: %s: %v\n", doing, err)
	os.Exit(1)
}

// endWithEngine ends this process soon after Pulumi's engine, whose address is the last argument. The bridge alone would
// run for ever after the engine was killed, and go on changing containers that are not in the state.
func endWithEngine(arguments []string) error {
	if len(arguments) == 0 || strings.HasPrefix(arguments[len(arguments)-1], "-") {
		return nil // run by hand, to print its version
	}
	engine := arguments[len(arguments)-1]
	return rpcutil.Healthcheck(context.Background(), engine, engineCheckInterval, func() { os.Exit(1) })
}

// packageSchema makes the Pulumi schema (JSON) from the provider's own. That takes 0.1 s at each start, and saves a
// second program that would generate it at build time. Its warnings about missing documentation are dropped.
func packageSchema(info tfbridge.ProviderInfo) ([]byte, error) {
	sink := diag.DefaultSink(io.Discard, io.Discard, diag.FormatOptions{Color: colors.Never})
	result, err := tfgen.GenerateSchemaWithOptions(tfgen.GenerateSchemaOptions{
		ProviderInfo:    info,
		DiagnosticsSink: sink,
		XInMemoryDocs:   true,
	})
	if err != nil {
		return nil, err
	}
	return json.Marshal(result.PackageSpec)
}
