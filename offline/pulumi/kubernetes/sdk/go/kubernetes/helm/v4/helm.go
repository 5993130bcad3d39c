// Package helm has the types of the Go SDK's package that the provider uses.
package helm

import "github.com/pulumi/pulumi/sdk/v3/go/pulumi"

// RepositoryOpts say where a chart comes from.
type RepositoryOpts struct {
	CaFile   pulumi.AssetOrArchive `pulumi:"caFile"`
	CertFile pulumi.AssetOrArchive `pulumi:"certFile"`
	KeyFile  pulumi.AssetOrArchive `pulumi:"keyFile"`
	Password *string               `pulumi:"password"`
	Repo     *string               `pulumi:"repo"`
	Username *string               `pulumi:"username"`
}

// PostRenderer is a program that changes what a chart makes.
type PostRenderer struct {
	Args    []string `pulumi:"args"`
	Command string   `pulumi:"command"`
}

// RepositoryOptsInput is a RepositoryOpts that may be known later.
type RepositoryOptsInput interface{ pulumi.Input }

// PostRendererInput is a PostRenderer that may be known later.
type PostRendererInput interface{ pulumi.Input }
