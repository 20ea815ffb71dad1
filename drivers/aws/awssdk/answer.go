package awssdk

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

const (
	// answerHead is how far into an answer its first element begins.
	answerHead = 1024
	// maxAnswer bounds an answer; a page of 1,000 instances is some 5 MB.
	maxAnswer = 64 << 20
)

var errForeign = errors.New("the answer is none of this service: is there a proxy on the way that answers itself?")

// checkAnswer refuses a success that is not an answer of the service. The SDK
// takes an empty body, or a page of HTML, for an empty list: and then an instance
// that lives and is paid for would be taken for gone. JSON answers are checked by
// what is in them.
func checkAnswer(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
	out, metadata, err := next.HandleDeserialize(ctx, in)
	response, ok := out.RawResponse.(*smithyhttp.Response)
	if err != nil || !ok || response.StatusCode/100 != 2 {
		return out, metadata, err
	}
	body := response.Body
	reader := bufio.NewReaderSize(io.LimitReader(body, maxAnswer), answerHead)
	response.Body = struct {
		io.Reader
		io.Closer
	}{reader, body}
	if !speaksXML(ctx) {
		return out, metadata, nil
	}
	head, err := reader.Peek(answerHead)
	if err != nil && !errors.Is(err, io.EOF) {
		return out, metadata, fmt.Errorf("read the answer: %w", err)
	}
	if !bytes.Contains(head, []byte("<"+awsmiddleware.GetOperationName(ctx)+"Response")) {
		return out, metadata, errForeign
	}
	return out, metadata, nil
}

func speaksXML(ctx context.Context) bool {
	service := awsmiddleware.GetServiceID(ctx)
	return service == "EC2" || service == "STS"
}
