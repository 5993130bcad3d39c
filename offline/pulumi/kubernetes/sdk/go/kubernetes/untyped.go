// Package kubernetes has the one name of the Go SDK's package that the provider uses.
//
// The SDK has a package for each version of each group of resources, and compiling the 68 that the provider imports by
// way of its YAML components takes longer than the provider itself. This program uses no such component.
package kubernetes

import "reflect"

// UntypedArgs are the inputs of a resource, by name.
type UntypedArgs map[string]any

// ElementType makes it an input.
func (UntypedArgs) ElementType() reflect.Type {
	return reflect.TypeFor[map[string]any]()
}
