// Package client is the Go client of the REST and metadata APIs, generated from
// openapi.yaml. Its arguments and results are the types of package apiv1.
//
//	c, err := client.NewClientWithResponses("https://127.0.0.1:8001",
//		client.WithHTTPClient(httpClient), client.WithBasicAuth("admin", password))
//	answer, err := c.LabelListWithResponse(ctx, nil)
//
// A result has JSON200 on success and JSONDefault on every other status.
// HTTPClient should trust the cluster CA and have a timeout.
package client
