// Command pulumi-resource-cloudflare keeps records in a DNS zone at Cloudflare, for the one resource of the
// pulumi-cloudflare SDK that the program uses.
package main

import (
	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"

	"vps/offline/pulumi/plugins/serve"
)

// version is the version of the pulumi-cloudflare SDK that this plugin serves.
const version = "6.23.1"

func main() {
	serve.Run("cloudflare", version, infer.NewProviderBuilder().
		WithDisplayName("Cloudflare").
		WithConfig(infer.Config(Config{})).
		WithModuleMap(map[tokens.ModuleName]tokens.ModuleName{}).
		WithResources(infer.Resource(Record{})))
}

// Config holds the API's address, and a token that may edit the zone's DNS.
type Config struct {
	APIToken string `pulumi:"apiToken" provider:"secret"`
	BaseURL  string `pulumi:"baseUrl"`
}

func (c *Config) Annotate(a infer.Annotator) {
	a.SetDefault(&c.APIToken, "", "CLOUDFLARE_API_TOKEN")
	a.SetDefault(&c.BaseURL, "https://api.cloudflare.com/client/v4", "CLOUDFLARE_BASE_URL")
}
