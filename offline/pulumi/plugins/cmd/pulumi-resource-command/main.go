// Command pulumi-resource-command runs commands here and over SSH, and copies files over SSH, for the resources of the
// pulumi-command SDK that the program uses. Unlike the official plugin it refuses a connection without a host key, and
// an error shows no output that `logging` keeps out of the log.
package main

import (
	"github.com/pulumi/pulumi-go-provider/infer"

	"vps/offline/pulumi/plugins/serve"
)

// version is that of the pulumi-command SDK whose names this plugin answers to.
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
