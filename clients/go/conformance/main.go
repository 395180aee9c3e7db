// The runner of clients/conformance/scenarios.md for this client; the page says what each scenario does and expects.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"

	bbq "bbq.internal/client"
)

var scenarios = map[string]func(*world){
	"publish-consume": publishConsume,
	"cancel":          cancel,
	"restart":         outlived("restart"),
	"kill":            outlived("kill"),
	"idle":            idle,
	"lease-expiry":    leaseExpiry,
	"lease-extension": leaseExtension,
	"stale-receipt":   staleReceipt,
	"handler":         handler,
	"refusals":        refusals,
	"errors":          table,
	"deadline":        deadline,
	"large-body":      largeBody,
	"binary-bodies":   binaryBodies,
	"unicode":         unicode,
	"auto":            auto,
}

func main() {
	if err := run(); err != nil {
		say(map[string]string{"result": "failed", "why": strings.Join(strings.Fields(err.Error()), " ")})
		os.Exit(1)
	}
	say(map[string]string{"result": "passed"})
}

func run() (err error) {
	defer func() {
		if raised := recover(); raised != nil {
			failed, ok := raised.(failure)
			if !ok {
				panic(raised)
			}
			err = failed.error
		}
	}()
	world := world{ctx: context.Background()}
	scenario := flag.String("scenario", "", "what to do")
	transport := flag.String("transport", "", "h3 or h2")
	flag.StringVar(&world.queue, "queue", "", "an unused queue")
	flag.IntVar(&world.messages, "messages", 0, "how many messages")
	flag.IntVar(&world.subscriptions, "subscriptions", 0, "how many subscriptions")
	flag.Parse()
	do, ok := scenarios[*scenario]
	if !ok {
		return fmt.Errorf("no scenario %s", *scenario)
	}
	world.profile = *get(bbq.FindProfile())
	world.profile.Transport = map[string]string{"h3": "http3", "h2": "http2"}[*transport]
	world.client = get(bbq.Connect(world.ctx, &world.profile))
	do(&world)
	return world.client.Close()
}
