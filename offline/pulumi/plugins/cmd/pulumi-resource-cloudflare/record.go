package main

import (
	"context"
	"errors"
	"net/http"

	"github.com/pulumi/pulumi-go-provider/infer"
)

// Record is `cloudflare:index/dnsRecord:DnsRecord`.
type Record struct{}

// RecordArgs is also the API's request body: the names are the same. The zone's id is a part of the URL.
type RecordArgs struct {
	ZoneID  string      `pulumi:"zoneId" json:"-" provider:"replaceOnChanges"`
	Name    string      `pulumi:"name" json:"name"`
	Type    string      `pulumi:"type" json:"type" provider:"replaceOnChanges"`
	TTL     float64     `pulumi:"ttl" json:"ttl"`
	Content *string     `pulumi:"content,optional" json:"content,omitempty"`
	Data    *RecordData `pulumi:"data,optional" json:"data,omitempty"`
	Proxied *bool       `pulumi:"proxied,optional" json:"proxied,omitempty"`
	Comment *string     `pulumi:"comment,optional" json:"comment,omitempty"`
}

// RecordData is the content of a CAA record.
type RecordData struct {
	Flags any     `pulumi:"flags,optional" json:"flags,omitempty"`
	Tag   *string `pulumi:"tag,optional" json:"tag,omitempty"`
	Value *string `pulumi:"value,optional" json:"value,omitempty"`
}

type RecordState struct {
	RecordArgs
}

func (r *Record) Annotate(a infer.Annotator) {
	a.SetToken("index/dnsRecord", "DnsRecord")
}

func (r *RecordData) Annotate(a infer.Annotator) {
	a.SetToken("index/DnsRecordData", "DnsRecordData")
}

func (Record) Create(
	ctx context.Context, req infer.CreateRequest[RecordArgs],
) (infer.CreateResponse[RecordState], error) {
	response := infer.CreateResponse[RecordState]{Output: RecordState{req.Inputs}}
	if req.DryRun {
		return response, nil
	}
	made, err := infer.GetConfig[Config](ctx).call(ctx, http.MethodPost, req.Inputs.ZoneID, "", req.Inputs)
	response.ID = made.ID
	return response, err
}

func (Record) Read(
	ctx context.Context, req infer.ReadRequest[RecordArgs, RecordState],
) (infer.ReadResponse[RecordArgs, RecordState], error) {
	there, err := infer.GetConfig[Config](ctx).call(ctx, http.MethodGet, req.State.ZoneID, req.ID, nil)
	if errors.Is(err, errNotFound) {
		return infer.ReadResponse[RecordArgs, RecordState]{}, nil
	}
	if err != nil {
		return infer.ReadResponse[RecordArgs, RecordState]{}, err
	}
	state := RecordState{there.over(req.State.RecordArgs)}
	return infer.ReadResponse[RecordArgs, RecordState]{ID: req.ID, Inputs: there.over(req.Inputs), State: state}, nil
}

func (Record) Update(
	ctx context.Context, req infer.UpdateRequest[RecordArgs, RecordState],
) (infer.UpdateResponse[RecordState], error) {
	response := infer.UpdateResponse[RecordState]{Output: RecordState{req.Inputs}}
	if req.DryRun {
		return response, nil
	}
	_, err := infer.GetConfig[Config](ctx).call(ctx, http.MethodPut, req.Inputs.ZoneID, req.ID, req.Inputs)
	return response, err
}

func (Record) Delete(ctx context.Context, req infer.DeleteRequest[RecordState]) (infer.DeleteResponse, error) {
	_, err := infer.GetConfig[Config](ctx).call(ctx, http.MethodDelete, req.State.ZoneID, req.ID, nil)
	if errors.Is(err, errNotFound) {
		err = nil
	}
	return infer.DeleteResponse{}, err
}

// over returns the record's current values of the properties that the program sets. The others are determined by the
// API, as the text that it makes of a CAA record's data.
func (f found) over(args RecordArgs) RecordArgs {
	args.Name, args.Type, args.TTL = f.Name, f.Type, f.TTL
	if args.Content != nil {
		args.Content = &f.Content
	}
	if args.Proxied != nil {
		args.Proxied = &f.Proxied
	}
	if args.Comment != nil {
		args.Comment = &f.Comment
	}
	if args.Data != nil && f.Data != nil {
		data := *f.Data
		args.Data = &RecordData{Flags: data["flags"], Tag: text(data["tag"]), Value: text(data["value"])}
	}
	return args
}

func text(value any) *string {
	if found, is := value.(string); is {
		return &found
	}
	return nil
}
