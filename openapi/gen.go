package openapi

//go:generate go tool -modfile=../tools/go.mod oapi-codegen -config apiv1/oapi-codegen.yaml openapi.yaml
//go:generate go tool -modfile=../tools/go.mod oapi-codegen -config client/oapi-codegen.yaml openapi.yaml
