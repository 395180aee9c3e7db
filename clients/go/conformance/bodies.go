package main

import (
	"bytes"
	"time"

	"connectrpc.com/connect"

	bbq "bbq.internal/client"
)

// bodyMax is the largest body that a server takes by default.
const bodyMax = 4 * 1024 * 1024

func body(length int) []byte {
	body := make([]byte, length)
	for k := range body {
		body[k] = byte(k * 31 % 251)
	}
	return body
}

func largeBody(w *world) {
	must(w.create(w.queue, nil))
	get(w.client.Publish(w.ctx, w.queue, bbq.Message{Body: body(bodyMax)}))
	subscription := w.subscribe(1)
	delivery := w.next(subscription)
	same("whether the body is the same", bytes.Equal(delivery.Body, body(bodyMax)), true)
	must(delivery.Nack(w.ctx))
	subscription.Close()
	received := get(w.client.Receive(w.ctx, w.queue, 1, 10*time.Second))
	same("how many came", len(received), 1)
	same("whether the body is the same again", bytes.Equal(received[0].Body, body(bodyMax)), true)
	must(received[0].Ack(w.ctx))
	_, err := w.client.Publish(w.ctx, w.queue, bbq.Message{Body: body(bodyMax + 1)})
	refused("a body above the limit", err, connect.CodeResourceExhausted, "LIMIT_EXCEEDED")
	w.publish("after")
	delivery = w.next(w.subscribe(0))
	same("the body", string(delivery.Body), "after")
	must(delivery.Ack(w.ctx))
}

func binaryBodies(w *world) {
	must(w.create(w.queue, nil))
	bodies := [][]byte{{}, nil, make([]byte, 1000), {0xff, 0xfe, 0xc3, 0x28}, []byte("\r\n\r\n")}
	for value := range 256 {
		bodies[1] = append(bodies[1], byte(value))
	}
	var messages []bbq.Message
	for _, body := range bodies {
		messages = append(messages, bbq.Message{Body: body})
	}
	get(w.client.PublishAll(w.ctx, w.queue, messages))
	subscription := w.subscribe(0)
	for _, body := range bodies {
		delivery := w.next(subscription)
		same("whether the body is the same", bytes.Equal(delivery.Body, body), true)
		must(delivery.Ack(w.ctx))
	}
}

func unicode(w *world) {
	must(w.create(w.queue, nil))
	attributes := map[string]string{
		"ключ":          "значение",
		"emoji":         "🔥🍖",
		"combining":     "e\u0301",
		"empty":         "",
		"rtl":           "שלום",
		"nul":           "a\x00b",
		"漢字 and spaces": "値\n2",
	}
	get(w.client.Publish(w.ctx, w.queue, bbq.Message{Body: []byte("🔥"), Attributes: attributes}))
	delivery := w.next(w.subscribe(0))
	same("the body", string(delivery.Body), "🔥")
	same("the attributes", delivery.Attributes, attributes)
	must(delivery.Ack(w.ctx))
}
