package bbq

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/quic-go/quic-go/http3"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"

	bbqv1 "bbq.internal/client/gen/bbq/v1"
)

// Error is any failure of a call: gRPC's code, one line for people, and what the server said for programs.
type Error struct {
	// Code is gRPC's: connect.CodeNotFound, for example.
	Code connect.Code
	// Message is one line that names the thing and, where there is one, the way out.
	Message string
	// Reason is the server's word for programs, such as QUEUE_NOT_FOUND; empty if the client made the error.
	Reason string
	// RetryAfter is how long the server asks to wait before another try; 0 if it does not.
	RetryAfter time.Duration

	unprocessed bool
	// unreached says that there was no connection; final that another try would come to the same.
	unreached, final bool
	cause            error
}

// ErrClosed is what errors of a subscription, a publisher or a client wrap that was closed.
var ErrClosed = errors.New("closed")

var (
	errSubscriptionClosed = fmt.Errorf("the subscription is %w", ErrClosed)
	errPublisherClosed    = closedError("the publisher is closed")
	errClientClosed       = closedError("the client is closed")
)

func closedError(message string) *Error {
	return &Error{Code: connect.CodeCanceled, Message: message, unprocessed: true, final: true, cause: ErrClosed}
}

// Error is the message.
func (e *Error) Error() string { return e.Message }

// Unwrap gives the cause, such as context.Canceled.
func (e *Error) Unwrap() error { return e.cause }

// Unprocessed says whether it is certain that the call had no effect, so that even a publish may be repeated.
func (e *Error) Unprocessed() bool {
	return e.unprocessed || (e.Code == connect.CodeResourceExhausted && e.RetryAfter > 0)
}

// ReceiptError says that a receipt settled, or extended, nothing.
type ReceiptError struct {
	// Receipt is as it was sent.
	Receipt string
	// Why is SUPERSEDED, EXPIRED, GONE or UNKNOWN.
	Why string
}

// Error names the receipt and why.
func (e *ReceiptError) Error() string {
	return fmt.Sprintf("receipt %s changed nothing: %s", e.Receipt, e.Why)
}

// CodeOf is the code of any error of this package; connect.CodeUnknown for one that is none.
func CodeOf(err error) connect.Code {
	if own, ok := errors.AsType[*Error](err); ok {
		return own.Code
	}
	return connect.CodeUnknown
}

// unreached is an error of connecting: nothing was sent.
type unreached struct{ error }

func (u unreached) Unwrap() error { return u.error }

// typed is our own error for one of connect's.
func typed(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if own, ok := errors.AsType[*Error](err); ok {
		return own
	}
	if errors.Is(context.Cause(ctx), ErrClosed) {
		return &Error{
			Code:    connect.CodeCanceled,
			Message: "the client was closed; whether the call had an effect is not known",
			final:   true,
			cause:   ErrClosed,
		}
	}
	own := &Error{Code: connect.CodeOf(err), Message: err.Error(), cause: err}
	wire, ok := errors.AsType[*connect.Error](err)
	if ok {
		own.Message = strings.Join(strings.Fields(wire.Message()), " ")
		own.details(wire)
	}
	if ok && connect.IsWireError(err) {
		return own
	}
	_, unsent := errors.AsType[unreached](err)
	reset, wasReset := errors.AsType[*http3.Error](err)
	// net/http has no error of its own for it, and repeats it by itself first.
	refused := strings.Contains(err.Error(), "; REFUSED_STREAM;")
	own.unprocessed = unsent || refused || (wasReset && reset.ErrorCode == http3.ErrCodeRequestRejected)
	own.unreached, own.final = unsent, isCertificate(err)
	switch {
	case own.Code == connect.CodeInternal && errors.Is(err, proto.Error):
		// It is the request that could not be encoded: for an answer connect has another code.
		own.Code, own.unprocessed, own.final = connect.CodeInvalidArgument, true, true
	case own.Code == connect.CodeInvalidArgument && errors.Is(err, proto.Error):
		own.Code = connect.CodeInternal
	case errors.Is(ctx.Err(), context.Canceled):
		own.Code, own.cause = connect.CodeCanceled, context.Canceled
	case ctx.Err() != nil, own.Code == connect.CodeDeadlineExceeded && !unsent:
		own.Code, own.cause = connect.CodeDeadlineExceeded, context.DeadlineExceeded
		own.Message = "no answer within the deadline; whether the call had an effect is not known"
	case own.Code != connect.CodeResourceExhausted:
		// Nobody refused: the connection was not made, or broke, or the stream was cut.
		own.Code = connect.CodeUnavailable
	}
	return own
}

func (e *Error) details(wire *connect.Error) {
	for _, detail := range wire.Details() {
		value, err := detail.Value()
		if err != nil {
			continue
		}
		switch value := value.(type) {
		case *errdetails.ErrorInfo:
			e.Reason = value.GetReason()
		case *errdetails.RetryInfo:
			e.RetryAfter = value.GetRetryDelay().AsDuration()
		}
	}
}

func failures(failed []*bbqv1.ReceiptFailure) []*ReceiptError {
	var errs []*ReceiptError
	for _, failure := range failed {
		why := strings.TrimPrefix(failure.GetReason().String(), "RECEIPT_FAILURE_REASON_")
		errs = append(errs, &ReceiptError{Receipt: failure.GetReceipt(), Why: why})
	}
	return errs
}
