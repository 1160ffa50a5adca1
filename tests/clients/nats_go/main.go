// SPDX-License-Identifier: BSD-2-Clause

// All behaviours with nats.go: several connections, each publishing to all.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	connections = 6
	timeout     = 30 * time.Second
)

var (
	url        = os.Args[1]
	conns      []*nats.Conn
	reconnects = make(chan bool, 100)
	stdin      = bufio.NewReader(os.Stdin)
)

func connect() (*nats.Conn, error) {
	return nats.Connect(url, nats.MaxReconnects(-1),
		nats.ReconnectWait(50*time.Millisecond),
		nats.ReconnectJitter(0, 0),
		nats.ReconnectHandler(func(*nats.Conn) { reconnects <- true }))
}

// flush is the barrier: what went before it on any connection is in force.
func flush() error {
	for _, nc := range conns {
		if err := nc.FlushTimeout(timeout); err != nil {
			return err
		}
	}
	return nil
}

func subscribeAll(subject string) ([]*nats.Subscription, error) {
	var subs []*nats.Subscription
	for _, nc := range conns {
		sub, err := nc.SubscribeSync(subject)
		if err != nil {
			return nil, err
		}
		subs = append(subs, sub)
	}
	return subs, flush()
}

func unsubscribeAll(subs []*nats.Subscription) {
	for _, sub := range subs {
		sub.Unsubscribe()
	}
}

// exchange publishes count messages from each connection; each of the
// subscriptions must get them all, those of one publisher in order.
func exchange(subject string, subs []*nats.Subscription, count int) error {
	for from, nc := range conns {
		for n := range count {
			nc.Publish(subject, fmt.Appendf(nil, "%d %d", from, n))
		}
	}
	for to, sub := range subs {
		var next [connections]int
		for range connections * count {
			var from, n int
			msg, err := sub.NextMsg(timeout)
			if err != nil {
				return fmt.Errorf("connection %d: %w after %v",
					to, err, next)
			}
			fmt.Sscan(string(msg.Data), &from, &n)
			if n != next[from] {
				return fmt.Errorf("connection %d: message %d "+
					"of %d instead of %d", to, n, from,
					next[from])
			}
			next[from]++
		}
	}
	return nil
}

func publishSubscribe() error {
	subs, err := subscribeAll("all")
	if err != nil {
		return err
	}
	defer unsubscribeAll(subs)
	return exchange("all", subs, 100)
}

func wildcards() error {
	want := map[string][]string{
		"wild.*.c": {"wild.a.c", "wild.b.c", "wild.end.c"},
		"wild.>": {"wild.a", "wild.a.c", "wild.b.c", "wild.a.b.c",
			"wild.end.c"},
	}
	for pattern, subjects := range want {
		subs, err := subscribeAll(pattern)
		if err != nil {
			return err
		}
		for _, subject := range []string{"wild", "wild.a", "wild.a.c",
			"wild.b.c", "wild.a.b.c", "other.a.c", "wild.end.c"} {
			conns[0].Publish(subject, nil)
		}
		for _, sub := range subs {
			for _, subject := range subjects {
				msg, err := sub.NextMsg(timeout)
				if err != nil {
					return err
				}
				if msg.Subject != subject {
					return fmt.Errorf("%s: %s instead of %s",
						pattern, msg.Subject, subject)
				}
			}
		}
		unsubscribeAll(subs)
	}
	return nil
}

func queueGroups() error {
	const count = 50
	seen := map[string]bool{}
	got := make(chan string, 1000)
	members := make(chan int, 1000)
	for n, nc := range conns {
		sub, err := nc.QueueSubscribe("jobs", "group",
			func(msg *nats.Msg) {
				members <- n
				got <- string(msg.Data)
			})
		if err != nil {
			return err
		}
		defer sub.Unsubscribe()
	}
	if err := flush(); err != nil {
		return err
	}
	for from, nc := range conns {
		for n := range count {
			nc.Publish("jobs", fmt.Appendf(nil, "%d %d", from, n))
		}
	}
	for range connections * count {
		select {
		case job := <-got:
			if seen[job] {
				return fmt.Errorf("%q came twice", job)
			}
			seen[job] = true
		case <-time.After(timeout):
			return fmt.Errorf("only %d messages", len(seen))
		}
	}
	if err := errors.Join(flush(), flush()); err != nil {
		return err
	}
	if len(got) > 0 {
		return errors.New("a message came twice")
	}
	busy := map[int]bool{}
	for len(members) > 0 {
		busy[<-members] = true
	}
	if len(busy) != connections {
		return fmt.Errorf("only %d members got messages", len(busy))
	}
	return nil
}

func requestReply() error {
	for to, nc := range conns {
		subject := fmt.Sprintf("service.%d", to)
		sub, err := nc.Subscribe(subject, func(msg *nats.Msg) {
			msg.Respond(bytes.ToUpper(msg.Data))
		})
		if err != nil {
			return err
		}
		defer sub.Unsubscribe()
	}
	if err := flush(); err != nil {
		return err
	}
	for from, nc := range conns {
		for to := range conns {
			msg, err := nc.Request(fmt.Sprintf("service.%d", to),
				fmt.Appendf(nil, "from %d", from), timeout)
			if err != nil {
				return err
			}
			if string(msg.Data) != fmt.Sprintf("FROM %d", from) {
				return fmt.Errorf("reply %q", msg.Data)
			}
		}
	}
	return nil
}

func headers() error {
	subs, err := subscribeAll("headed")
	if err != nil {
		return err
	}
	defer unsubscribeAll(subs)
	want := nats.Header{"Colour": {"red", "dark green"}, "X-Empty": {""}}
	for _, nc := range conns {
		nc.PublishMsg(&nats.Msg{Subject: "headed", Header: want,
			Data: []byte("body")})
	}
	for _, sub := range subs {
		for range conns {
			msg, err := sub.NextMsg(timeout)
			if err != nil {
				return err
			}
			if !reflect.DeepEqual(msg.Header, want) ||
				string(msg.Data) != "body" {
				return fmt.Errorf("got %v %q", msg.Header,
					msg.Data)
			}
		}
	}
	return nil
}

func noResponders() error {
	for _, nc := range conns {
		_, err := nc.Request("nobody.there", nil, timeout)
		if !errors.Is(err, nats.ErrNoResponders) {
			return fmt.Errorf("request says %v", err)
		}
	}
	return nil
}

func largePayload() error {
	subs, err := subscribeAll("large")
	if err != nil {
		return err
	}
	defer unsubscribeAll(subs)
	data := make([]byte, conns[0].MaxPayload())
	for i := range data {
		data[i] = byte(i * 7 >> 3)
	}
	if len(data) != 1<<20 {
		return fmt.Errorf("max_payload is %d", len(data))
	}
	for _, nc := range conns {
		if err := nc.Publish("large", data); err != nil {
			return err
		}
	}
	for _, sub := range subs {
		for range conns {
			msg, err := sub.NextMsg(timeout)
			if err != nil {
				return err
			}
			if !bytes.Equal(msg.Data, data) {
				return errors.New("the payload has changed")
			}
		}
	}
	return nil
}

func drain() error {
	const count = 200
	closed := make(chan bool)
	got := 0
	nc, err := connect()
	if err != nil {
		return err
	}
	defer nc.Close()
	nc.SetClosedHandler(func(*nats.Conn) { close(closed) })
	nc.Subscribe("drained", func(*nats.Msg) {
		time.Sleep(100 * time.Microsecond)
		got++
	})
	nc.Flush()
	for _, other := range conns {
		for range count {
			other.Publish("drained", nil)
		}
	}
	if err := flush(); err != nil {
		return err
	}
	if err := nc.Drain(); err != nil {
		return err
	}
	select {
	case <-closed:
	case <-time.After(timeout):
		return errors.New("never closed")
	}
	if got != connections*count {
		return fmt.Errorf("%d messages of %d", got, connections*count)
	}
	_, err = conns[0].Request("drained", nil, timeout)
	if !errors.Is(err, nats.ErrNoResponders) {
		return fmt.Errorf("afterwards a request says %v", err)
	}
	return nil
}

// comeBack has connections cut and sees that their subscriptions return.
func comeBack(order string) error {
	var cut int
	subs, err := subscribeAll("back")
	if err != nil {
		return err
	}
	defer unsubscribeAll(subs)
	fmt.Println(order)
	if _, err := fmt.Fscanln(stdin, &cut); err != nil {
		return err
	}
	for n := range cut {
		select {
		case <-reconnects:
		case <-time.After(timeout):
			return fmt.Errorf("%d of %d came back", n, cut)
		}
	}
	if err := flush(); err != nil {
		return err
	}
	return exchange("back", subs, 10)
}

func main() {
	for range connections {
		nc, err := connect()
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		conns = append(conns, nc)
	}
	status := 0
	for _, behaviour := range []struct {
		name string
		run  func() error
	}{
		{"publish-subscribe", publishSubscribe},
		{"wildcards", wildcards},
		{"queue-groups", queueGroups},
		{"request-reply", requestReply},
		{"headers", headers},
		{"no-responders", noResponders},
		{"large-payload", largePayload},
		{"drain", drain},
		{"worker-killed", func() error { return comeBack("kill") }},
		{"server-restarted",
			func() error { return comeBack("restart") }},
		{"connect-options", connectOptions},
		{"server-errors", serverErrors},
		{"max-payload", maxPayload},
		{"slow-consumer", slowConsumer},
		{"ping-timeout", pingTimeout},
		{"reconnect-buffered", reconnectBuffered},
		{"drain-under-load", drainUnderLoad},
		{"many-subscriptions", manySubscriptions},
		{"request-many", requestMany},
		{"services", services},
		{"async-info", asyncInfo},
	} {
		if only := os.Args[2:]; len(only) > 0 &&
			!slices.Contains(only, behaviour.name) {
			continue
		}
		if err := behaviour.run(); err != nil {
			fmt.Printf("not ok %s - %v\n", behaviour.name, err)
			status = 1
		} else {
			fmt.Println("ok", behaviour.name)
		}
	}
	for _, nc := range conns {
		nc.Close()
	}
	os.Exit(status)
}
