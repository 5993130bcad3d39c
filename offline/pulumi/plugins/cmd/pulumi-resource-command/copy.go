package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"

	"github.com/pkg/sftp"
	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi-go-provider/infer/types"
)

// Copy is `command:remote:CopyToRemote` for one file, which is a FileAsset or a StringAsset. The file
// stays on the host when the resource is deleted.
type Copy struct{}

type CopyArgs struct {
	Connection Connection           `pulumi:"connection" provider:"secret"`
	Source     types.AssetOrArchive `pulumi:"source"`
	RemotePath string               `pulumi:"remotePath" provider:"replaceOnChanges"`
	Triggers   []any                `pulumi:"triggers,optional"`
}

type CopyState struct {
	CopyArgs
}

func (c *Copy) Annotate(a infer.Annotator) {
	a.SetToken("remote", "CopyToRemote")
}

func (Copy) Create(ctx context.Context, req infer.CreateRequest[CopyArgs]) (infer.CreateResponse[CopyState], error) {
	id, err := newID(req.Name)
	if err == nil && !req.DryRun {
		err = req.Inputs.copy(ctx)
	}
	return infer.CreateResponse[CopyState]{ID: id, Output: CopyState{req.Inputs}}, err
}

func (Copy) Update(
	ctx context.Context, req infer.UpdateRequest[CopyArgs, CopyState],
) (infer.UpdateResponse[CopyState], error) {
	var err error
	if !req.DryRun {
		err = req.Inputs.copy(ctx)
	}
	return infer.UpdateResponse[CopyState]{Output: CopyState{req.Inputs}}, err
}

// copy writes the file, and keeps the owner and the mode of one that exists. It creates the folders above it.
func (c CopyArgs) copy(ctx context.Context) (err error) {
	if c.Source.Asset == nil {
		return errors.New("source is an archive; this plugin copies one file, a FileAsset or a StringAsset")
	}
	source, err := c.Source.Asset.Read()
	if err != nil {
		return fmt.Errorf("reading the source: %w", err)
	}
	defer source.Close()
	client, err := c.Connection.dial(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	defer func() {
		if err != nil {
			err = fmt.Errorf("copying to %s on %s: %w", c.RemotePath, c.Connection.address(), err)
		}
	}()
	files, err := sftp.NewClient(client)
	if err != nil {
		return err
	}
	defer files.Close()
	if err := files.MkdirAll(path.Dir(c.RemotePath)); err != nil {
		return err
	}
	target, err := files.Create(c.RemotePath)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}
