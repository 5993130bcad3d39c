// Command pulumi-resource-command runs commands locally and over SSH, and copies files over SSH: the resources of the
// pulumi-command SDK that the program uses. Unlike the official plugin, it refuses connections without a host key, and
// its errors contain no output that `logging` excludes from the log.
package main

import (
	"github.com/pulumi/pulumi-go-provider/infer"

	"vps/offline/pulumi/plugins/serve"
)

// version is the version of the pulumi-command SDK that this plugin serves.
const version = "1.2.1"

func main() {
	serve.Run("command", version, infer.NewProviderBuilder().
		WithDisplayName("Command").
		WithResources(
			infer.Resource(Local{}),
			infer.Resource(Remote{}),
			infer.Resource(Copy{}),
		))
}
