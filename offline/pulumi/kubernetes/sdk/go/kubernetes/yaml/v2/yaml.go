// Package yaml has the function of the Go SDK's package that the provider's YAML components call.
package yaml

import (
	"errors"

	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// RegisterResource refuses: a plugin that was built without the SDK's resources has no components.
func RegisterResource(
	*pulumi.Context, string, string, string, kubernetes.UntypedArgs, ...pulumi.ResourceOption,
) (pulumi.CustomResource, error) {
	return nil, errors.New("this build of the Kubernetes plugin has no components of YAML, Helm or Kustomize: use " +
		"the official plugin")
}
