package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

const (
	requestTimeout = 30 * time.Second
	answerLimit    = 1 << 20 // bytes; a record is about a thousand
)

var errNotFound = errors.New("there is no such record")

// found is a record in the API's answer, with the fields that RecordArgs can set.
type found struct {
	ID      string          `json:"id"`
	Name    string          `json:"name"`
	Type    string          `json:"type"`
	TTL     float64         `json:"ttl"`
	Content string          `json:"content"`
	Data    *map[string]any `json:"data"`
	Proxied bool            `json:"proxied"`
	Comment string          `json:"comment"`
}

// call sends one request about the records of a zone, and returns the record of the answer. `id` is empty for a new one.
func (c Config) call(ctx context.Context, method, zone, id string, body any) (found, error) {
	url := fmt.Sprintf("%s/zones/%s/dns_records", strings.TrimSuffix(c.BaseURL, "/"), zone)
	if id != "" {
		url += "/" + id
	}
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return found{}, err
		}
		content = bytes.NewReader(text)
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, url, content)
	if err != nil {
		return found{}, err
	}
	request.Header.Set("Authorization", "Bearer "+c.APIToken)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return found{}, fmt.Errorf("Cloudflare's API can't be reached: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusNotFound {
		return found{}, errNotFound
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, answerLimit))
	if err != nil {
		return found{}, fmt.Errorf("reading the answer of Cloudflare's API: %w", err)
	}
	var answer struct {
		Success bool
		Errors  []struct {
			Code    int
			Message string
		}
		Result found
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return found{}, fmt.Errorf("Cloudflare's API answers %s, and not in JSON", response.Status)
	}
	if !answer.Success {
		said := make([]string, 0, len(answer.Errors))
		for _, problem := range answer.Errors {
			said = append(said, fmt.Sprintf("%s (%d)", problem.Message, problem.Code))
		}
		return found{}, fmt.Errorf("Cloudflare's API refuses with %s: %s", response.Status, strings.Join(said, "; "))
	}
	return answer.Result, nil
}
