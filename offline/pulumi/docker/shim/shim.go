// Package shim hands out the upstream Docker provider, which sits in an internal package: only a module whose path
// lies under the upstream module's own may import it, hence this one's name.
package shim

import (
	"github.com/hashicorp/terraform-plugin-sdk/v2/helper/schema"
	"github.com/terraform-providers/terraform-provider-docker/internal/provider"
)

// Provider returns the upstream provider, unconfigured.
func Provider() *schema.Provider {
	return provider.New("vps")()
}
