// Package shim exports the upstream Docker provider, which is in an internal package. Only a module whose path is below
// the upstream module's may import it, hence the name of this one.
package shim

import (
	"github.com/hashicorp/terraform-plugin-sdk/v2/helper/schema"
	"github.com/terraform-providers/terraform-provider-docker/internal/provider"
)

// Provider returns the upstream provider, unconfigured.
func Provider() *schema.Provider {
	return provider.New("vps")()
}
