// SPDX-License-Identifier: BSD-2-Clause

// The behaviours in depth: each has a server of its own, with a proxy.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// ask gives the harness an order; its answer.
func ask(format string, args ...any) string {
	fmt.Printf(format+"\n", args...)
	line, _ := stdin.ReadString('\n')
	return strings.TrimSpace(line)
}

// number is ask for orders that are answered by a number.
func number(format string, args ...any) int {
	n, _ := strconv.Atoi(ask(format, args...))
	return n
}

func logged(count int, text string) error {
	if n := number("logged %d %s", count, text); n < count {
		return fmt.Errorf("%q is %d times in the log", text, n)
	}
	return nil
}

type extra struct {
	url, url6, unix, proxy string
}

func server(conf string) extra {
	words := strings.Fields(ask("server %s", conf))
	return extra{words[0], words[1], words[2], words[3]}
}

// client is a connection and what has happened to it.
type client struct {
	*nats.Conn
	errs, cuts, reconnects chan error
	closed                 chan bool
}

func open(url string, options ...nats.Option) (*client, error) {
	c := &client{errs: make(chan error, 1000), cuts: make(chan error, 1000),
		reconnects: make(chan error, 1000), closed: make(chan bool)}
	options = append([]nats.Option{
		nats.MaxReconnects(-1),
		nats.ReconnectWait(20 * time.Millisecond),
		nats.ReconnectJitter(0, 0),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription,
			err error) {
			c.errs <- err
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			c.cuts <- err
		}),
		nats.ReconnectHandler(func(*nats.Conn) { c.reconnects <- nil }),
		nats.ClosedHandler(func(*nats.Conn) { close(c.closed) }),
	}, options...)
	var err error
	c.Conn, err = nats.Connect(url, options...)
	return c, err
}

// several opens that many connections.
func several(count int, url string, options ...nats.Option) ([]*client, error) {
	var clients []*client
	for range count {
		c, err := open(url, options...)
		if err != nil {
			return clients, err
		}
		clients = append(clients, c)
	}
	return clients, nil
}

func closeAll(clients []*client) {
	for _, c := range clients {
		c.Close()
	}
}

// next is what comes next from a channel of errors.
func next(from chan error, what string) (error, error) {
	select {
	case err := <-from:
		return err, nil
	case <-time.After(timeout):
		return nil, fmt.Errorf("no %s", what)
	}
}

func wantError(from chan error, want error) error {
	got, err := next(from, fmt.Sprintf("error %q", want))
	if err != nil {
		return err
	}
	if !errors.Is(got, want) {
		return fmt.Errorf("error %v instead of %v", got, want)
	}
	return nil
}

// wantClosed sees that a connection has been given up, and why.
func wantClosed(c *client, text string) error {
	select {
	case <-c.closed:
	case <-time.After(timeout):
		return fmt.Errorf("not closed by %q", text)
	}
	if err := c.LastError(); err == nil ||
		!strings.Contains(strings.ToLower(err.Error()), text) {
		return fmt.Errorf("closed by %v instead of %q", err, text)
	}
	return nil
}

// wantReconnect sees that a connection was cut, and that it is back.
func wantReconnect(c *client) (error, error) {
	why, err := next(c.cuts, "disconnect")
	if err == nil {
		_, err = next(c.reconnects, "reconnect")
	}
	return why, err
}

// calm sees that a connection works, and that nothing has happened to it.
func calm(c *client) error {
	if err := c.FlushTimeout(timeout); err != nil {
		return err
	}
	select {
	case err := <-c.errs:
		return fmt.Errorf("unexpected error %v", err)
	case err := <-c.cuts:
		return fmt.Errorf("unexpected disconnect, %v", err)
	default:
		return nil
	}
}

func flushAll(clients ...*client) error {
	for _, c := range clients {
		if err := c.FlushTimeout(timeout); err != nil {
			return err
		}
	}
	return nil
}

// wantMessages sees that these payloads come next.
func wantMessages(sub *nats.Subscription, payloads ...string) error {
	for _, want := range payloads {
		msg, err := sub.NextMsg(timeout)
		if err != nil {
			return fmt.Errorf("%w instead of %q", err, want)
		}
		if string(msg.Data) != want {
			return fmt.Errorf("%.40q instead of %.40q", msg.Data, want)
		}
	}
	return nil
}

// meet has each client publish once and sees that each gets all of it.
func meet(clients []*client) error {
	var subs []*nats.Subscription
	for _, c := range clients {
		sub, err := c.SubscribeSync("meet")
		if err != nil {
			return err
		}
		defer sub.Unsubscribe()
		subs = append(subs, sub)
	}
	if err := flushAll(clients...); err != nil {
		return err
	}
	for n, c := range clients {
		c.Publish("meet", fmt.Append(nil, n))
	}
	for to, sub := range subs {
		var got []string
		for range clients {
			msg, err := sub.NextMsg(timeout)
			if err != nil {
				return fmt.Errorf("client %d: %w", to, err)
			}
			got = append(got, string(msg.Data))
		}
		slices.Sort(got)
		for n := range clients {
			if got[n] != fmt.Sprint(n) {
				return fmt.Errorf("client %d got %v", to, got)
			}
		}
	}
	return nil
}

// refused sees that nobody is let in with these options.
func refused(url string, options ...nats.Option) error {
	c, err := open(url, options...)
	if err == nil {
		c.Close()
		return errors.New("let in with wrong credentials")
	}
	if !errors.Is(err, nats.ErrAuthorization) {
		return fmt.Errorf("wrong credentials: %v", err)
	}
	return nil
}

func credentials() error {
	const user, password = "alice", "s3cr3t pass"
	s := server("user")
	clients, err := several(2, s.url, nats.UserInfo(user, password))
	if err != nil {
		return err
	}
	defer closeAll(clients)
	if !clients[0].AuthRequired() {
		return errors.New("no auth_required in INFO")
	}
	c, err := open(strings.Replace(s.url, "//", "//alice:s3cr3t%20pass@", 1))
	if err != nil {
		return fmt.Errorf("credentials in the URL: %w", err)
	}
	defer c.Close()
	if err := meet(append(clients, c)); err != nil {
		return err
	}
	err = errors.Join(refused(s.url), refused(s.url, nats.Token("x")),
		refused(s.url, nats.UserInfo(user, "s3cr3t")),
		refused(s.url, nats.UserInfo("Alice", password)))
	if err != nil {
		return err
	}
	s = server("token")
	if c, err = open(s.url, nats.Token("t0ken")); err != nil {
		return err
	}
	defer c.Close()
	other, err := open(strings.Replace(s.url, "//", "//t0ken@", 1))
	if err != nil {
		return fmt.Errorf("token in the URL: %w", err)
	}
	defer other.Close()
	return errors.Join(meet([]*client{c, other}), refused(s.url),
		refused(s.url, nats.Token("t0ke")),
		refused(s.url, nats.UserInfo("t0ken", "")))
}

func verbose(c *client) error {
	sub, err := c.SubscribeSync("verbose")
	if err != nil {
		return err
	}
	for range 10 {
		c.Publish("verbose", []byte("x"))
	}
	for range 10 {
		if err := wantMessages(sub, "x"); err != nil {
			return err
		}
	}
	sub.Unsubscribe()
	// CONNECT, SUB, 10 PUB, UNSUB
	return errors.Join(calm(c), logged(13, "->> [+OK]"))
}

// pedantic: the server complains about a wildcard in a published subject,
// and the library gives up; other subjects are in order.
func pedantic(c *client) error {
	sub, err := c.SubscribeSync("pedantic.*")
	if err != nil {
		return err
	}
	c.Publish("pedantic.1", []byte("x"))
	if err := errors.Join(wantMessages(sub, "x"), calm(c)); err != nil {
		return err
	}
	c.Publish("pedantic.*", nil)
	return wantClosed(c, "invalid publish subject")
}

// noEcho: what it publishes goes to others, be it in a queue group.
func noEcho(quiet, other *client) error {
	var subs []*nats.Subscription
	for _, c := range []*client{quiet, other} {
		sub, err := c.SubscribeSync("echo")
		if err != nil {
			return err
		}
		member, err := c.QueueSubscribeSync("echo", "group")
		if err != nil {
			return err
		}
		defer sub.Unsubscribe()
		defer member.Unsubscribe()
		subs = append(subs, sub, member)
	}
	if err := flushAll(quiet, other); err != nil {
		return err
	}
	for range 20 {
		quiet.Publish("echo", []byte("quiet"))
	}
	if err := quiet.Flush(); err != nil {
		return err
	}
	other.Publish("echo", []byte("other"))
	err := wantMessages(subs[0], "other")
	for range 20 {
		err = errors.Join(err, wantMessages(subs[2], "quiet"),
			wantMessages(subs[3], "quiet"))
	}
	return err
}

type unixDialer string

func (path unixDialer) Dial(_, _ string) (net.Conn, error) {
	return net.Dial("unix", string(path))
}

func options() error {
	s := server("trace")
	other, err := open(s.url, nats.Name(`the "name" ü`))
	if err != nil {
		return err
	}
	defer other.Close()
	clients := []*client{other}
	for _, more := range []struct {
		url    string
		option nats.Option
		try    func(*client) error
	}{
		{s.url, func(o *nats.Options) error {
			o.Verbose = true
			return nil
		}, verbose},
		{s.url, nats.NoEcho(), func(c *client) error {
			return noEcho(c, other)
		}},
		{s.url6, nats.Name("six"), func(c *client) error {
			if ip, err := c.GetClientIP(); err != nil ||
				ip.String() != "::1" {
				return fmt.Errorf("client_ip %v, %v", ip, err)
			}
			return nil
		}},
		{s.unix, nats.Name("unix"), calm},
		{s.url, nats.UseOldRequestStyle(), func(c *client) error {
			_, err := c.Request("nobody", nil, timeout)
			if !errors.Is(err, nats.ErrNoResponders) {
				return fmt.Errorf("request says %v", err)
			}
			return nil
		}},
	} {
		if more.url == "-" {
			continue
		}
		options := []nats.Option{more.option}
		if more.url == s.unix {
			options = append(options,
				nats.SetCustomDialer(unixDialer(s.unix)))
			more.url = s.url
		}
		c, err := open(more.url, options...)
		if err != nil {
			return err
		}
		defer c.Close()
		if err := more.try(c); err != nil {
			return err
		}
		if !c.Opts.NoEcho {
			clients = append(clients, c)
		}
	}
	if err := meet(clients); err != nil {
		return err
	}
	c, err := open(s.url, func(o *nats.Options) error {
		o.Pedantic = true
		return nil
	})
	if err != nil {
		return err
	}
	defer c.Close()
	return errors.Join(pedantic(c), calm(other),
		logged(1, `"name":"the \"name\" ü"`))
}

func noHeaders() error {
	s := server("noheaders")
	clients, err := several(2, s.url)
	if err != nil {
		return err
	}
	defer closeAll(clients)
	if clients[0].HeadersSupported() {
		return errors.New("headers supported")
	}
	err = clients[0].PublishMsg(&nats.Msg{Subject: "a",
		Header: nats.Header{"A": {"b"}}})
	if !errors.Is(err, nats.ErrHeadersNotSupported) {
		return fmt.Errorf("headers: %v", err)
	}
	// without headers nobody can be told that there is no responder
	_, err = clients[0].Request("nobody", nil, 100*time.Millisecond)
	if !errors.Is(err, nats.ErrTimeout) {
		return fmt.Errorf("request says %v", err)
	}
	return errors.Join(meet(clients), calm(clients[0]))
}

func connectOptions() error {
	return inTurn(credentials, options, noHeaders)
}

// inTurn runs one after the other, up to the first that fails.
func inTurn(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// violations: those of permissions, and one subscription too many; they are
// reported and the connection stays.
func violations() error {
	s := server("limits")
	c, err := open(s.url, nats.PermissionErrOnSubscribe(true))
	if err != nil {
		return err
	}
	defer c.Close()
	reserved := func(publish func()) error {
		publish()
		return errors.Join(wantError(c.errs, nats.ErrPermissionViolation),
			calm(c))
	}
	err = errors.Join(
		reserved(func() { c.Publish("_GR_.x", nil) }),
		reserved(func() { c.PublishRequest("a", "_R_.x", nil) }),
		reserved(func() { c.PublishRequest("a", "$JS.ACK.x", nil) }))
	if err != nil {
		return err
	}
	sub, err := c.QueueSubscribeSync("foo.bar", "_sys_")
	if err != nil {
		return err
	}
	_, err = sub.NextMsg(timeout)
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return fmt.Errorf("reserved queue: %v", err)
	}
	sub.Unsubscribe()
	if err := wantError(c.errs, nats.ErrPermissionViolation); err != nil {
		return err
	}
	var subs []*nats.Subscription
	for n := range 5 {
		sub, err := c.SubscribeSync(fmt.Sprint("limit.", n))
		if err != nil {
			return err
		}
		subs = append(subs, sub)
	}
	if err := calm(c); err != nil {
		return err
	}
	sub, err = c.SubscribeSync("limit.5")
	if err != nil {
		return err
	}
	err = wantError(c.errs, nats.ErrMaxSubscriptionsExceeded)
	c.Publish("limit.5", []byte("x"))
	for n := range subs {
		c.Publish(fmt.Sprint("limit.", n), []byte("x"))
		err = errors.Join(err, wantMessages(subs[n], "x"))
	}
	if n, _, _ := sub.Pending(); n != 0 {
		err = errors.Join(err, errors.New("a sixth subscription"))
	}
	return errors.Join(err, calm(c))
}

// tooMany connections: those beyond the limit hear why, each time.
func tooMany() error {
	s := server("limits")
	clients, err := several(3, s.url)
	if err != nil {
		return err
	}
	defer closeAll(clients)
	for range 30 {
		c, err := open(s.url)
		if err == nil {
			c.Close()
			return errors.New("a fourth connection")
		}
		if !strings.Contains(err.Error(), "maximum connections exceeded") {
			return fmt.Errorf("fourth connection: %v", err)
		}
	}
	clients[0].Close()
	begun := time.Now()
	for {
		c, err := open(s.url)
		if err == nil {
			clients[0] = c
			break
		}
		if time.Since(begun) > timeout {
			return err
		}
	}
	return meet(clients)
}

// said: what the server answers to a line, and that the library then gives
// up, or reconnects.
func said(s extra, line, text string, givesUp bool) error {
	c, err := open(s.proxy)
	if err != nil {
		return err
	}
	defer c.Close()
	if answer := ask("say %s", line); answer != "ok" {
		return errors.New(answer)
	}
	if givesUp {
		return wantClosed(c, text)
	}
	why, err := wantReconnect(c)
	if err != nil {
		return err
	}
	if why == nil || !strings.Contains(strings.ToLower(why.Error()), text) {
		return fmt.Errorf("disconnect by %v instead of %q", why, text)
	}
	return c.FlushTimeout(timeout)
}

func protocolErrors() error {
	s := server("trace")
	return errors.Join(
		said(s, "SUB foo..bar 99", "invalid subject", true),
		said(s, "PUB foo "+strings.Repeat("x", 5000),
			"maximum control line exceeded", true),
		said(s, "SUBSCRIBE foo", "unknown protocol operation", false))
}

// newPassword: the library hears of it, tries again with the old one and
// gives up when it hears the same.
func newPassword() error {
	s := server("user")
	c, err := open(s.url, nats.UserInfo("alice", "s3cr3t pass"))
	if err != nil {
		return err
	}
	defer c.Close()
	ask("reload user2")
	err = errors.Join(wantError(c.errs, nats.ErrAuthorization),
		wantClosed(c, "authorization violation"))
	if err != nil {
		return err
	}
	c, err = open(s.url, nats.UserInfo("alice", "other"))
	if err != nil {
		return err
	}
	defer c.Close()
	return calm(c)
}

// stale: one whose PONGs never come is told, and reconnects.
func stale() error {
	s := server("pings")
	c, err := open(s.proxy)
	if err != nil {
		return err
	}
	defer c.Close()
	sub, err := c.SubscribeSync("stale")
	if err != nil {
		return err
	}
	c.Flush()
	ask("mute")
	why, err := next(c.cuts, "disconnect")
	ask("heal")
	if err != nil {
		return err
	}
	if !errors.Is(why, nats.ErrStaleConnection) {
		return fmt.Errorf("disconnect by %v", why)
	}
	if _, err := next(c.reconnects, "reconnect"); err != nil {
		return err
	}
	c.Publish("stale", []byte("x"))
	return wantMessages(sub, "x")
}

func serverErrors() error {
	return inTurn(violations, tooMany, protocolErrors, newPassword, stale)
}

func wantLimit(c *client, limit int) error {
	if c.MaxPayload() != int64(limit) {
		return fmt.Errorf("max_payload %d instead of %d", c.MaxPayload(),
			limit)
	}
	data := make([]byte, limit+1)
	if err := c.Publish("max", data); !errors.Is(err, nats.ErrMaxPayload) {
		return fmt.Errorf("%d bytes: %v", limit+1, err)
	}
	return c.Publish("max", data[:limit])
}

// headed publishes a message of that size, header and all.
func headed(c *client, size int) error {
	const header = len("NATS/1.0\r\nA: b\r\n\r\n")
	return c.PublishMsg(&nats.Msg{Subject: "max",
		Header: nats.Header{"A": {"b"}}, Data: make([]byte, size-header)})
}

// wantSizes sees that messages of these sizes come next.
func wantSizes(sub *nats.Subscription, sizes ...int) error {
	for _, size := range sizes {
		msg, err := sub.NextMsg(timeout)
		if err != nil {
			return err
		}
		if len(msg.Data) != size {
			return fmt.Errorf("%d bytes instead of %d", len(msg.Data),
				size)
		}
	}
	return nil
}

// maxPayload: INFO tells the limit, once; what is in force is the server's.
func maxPayload() error {
	s := server("small")
	first, err := open(s.url)
	if err != nil {
		return err
	}
	defer first.Close()
	sub, err := first.SubscribeSync("max")
	if err != nil {
		return err
	}
	first.Flush()
	if err := wantLimit(first, 1000); err != nil {
		return err
	}
	if err := headed(first, 1001); !errors.Is(err, nats.ErrMaxPayload) {
		return fmt.Errorf("1001 bytes with header: %v", err)
	}
	err = errors.Join(headed(first, 1000), wantSizes(sub, 1000, 982),
		calm(first))
	if err != nil {
		return err
	}
	ask("reload larger")
	second, err := open(s.url)
	if err != nil {
		return err
	}
	defer second.Close()
	err = errors.Join(wantLimit(first, 1000), wantSizes(sub, 1000),
		wantLimit(second, 5000), wantSizes(sub, 5000))
	if err != nil {
		return err
	}
	ask("reload smaller")
	first.Publish("max", make([]byte, 500))
	err = errors.Join(wantSizes(sub, 500), calm(second))
	second.Publish("max", make([]byte, 501))
	err = errors.Join(err, wantClosed(second, "maximum payload violation"))
	first.ForceReconnect()
	if _, more := wantReconnect(first); more != nil {
		return errors.Join(err, more)
	}
	return errors.Join(err, first.Flush(), wantLimit(first, 500),
		wantSizes(sub, 500))
}

// pendingLimits: messages beyond those of a subscription are dropped by the
// library, which says so.
func pendingLimits() error {
	c, err := open(url)
	if err != nil {
		return err
	}
	defer c.Close()
	free, got := make(chan bool), make(chan string, 1000)
	sub, err := c.Subscribe("pending", func(msg *nats.Msg) {
		<-free
		got <- string(msg.Data)
	})
	if err != nil {
		return err
	}
	sub.SetPendingLimits(10, -1)
	c.Flush()
	for range 100 {
		conns[0].Publish("pending", []byte("x"))
	}
	err = errors.Join(flush(), c.Flush(),
		wantError(c.errs, nats.ErrSlowConsumer))
	dropped, _ := sub.Dropped()
	if dropped < 80 || dropped > 90 {
		err = errors.Join(err, fmt.Errorf("%d dropped", dropped))
	}
	close(free)
	for range 100 - dropped {
		if more := wantText(got, "x"); more != nil {
			return errors.Join(err, more)
		}
	}
	conns[0].Publish("pending", []byte("last"))
	return errors.Join(err, wantText(got, "last"))
}

func wantText(from chan string, want string) error {
	select {
	case text := <-from:
		if text != want {
			return fmt.Errorf("%q instead of %q", text, want)
		}
		return nil
	case <-time.After(timeout):
		return fmt.Errorf("no %q", want)
	}
}

// slowReader: the server cuts one that reads nothing; it comes back.
func slowReader() error {
	const count, size, batch = 320, 1 << 16, 8
	s := server("slow")
	slow, err := open(s.proxy)
	if err != nil {
		return err
	}
	defer slow.Close()
	others, err := several(2, s.url)
	if err != nil {
		return err
	}
	defer closeAll(others)
	bulk, err := slow.SubscribeSync("bulk")
	if err != nil {
		return err
	}
	quick, err := others[1].SubscribeSync("bulk")
	if err != nil {
		return err
	}
	if err := flushAll(slow, others[1]); err != nil {
		return err
	}
	ask("stall")
	// no more at a time than what the quick one may leave unread
	for n := 0; err == nil && n < count; n += batch {
		for range batch {
			others[0].Publish("bulk", make([]byte, size))
		}
		for range batch {
			err = errors.Join(err, wantSizes(quick, size))
		}
	}
	err = errors.Join(err, flushAll(others...),
		logged(1, "Slow Consumer Detected"))
	ask("heal")
	if err != nil {
		return err
	}
	if _, more := wantReconnect(slow); more != nil {
		return errors.Join(err, more)
	}
	err = errors.Join(err, slow.Flush())
	others[0].Publish("bulk", []byte("again"))
	for err == nil {
		msg, more := bulk.NextMsg(timeout)
		if more != nil {
			return fmt.Errorf("after the reconnect: %w", more)
		}
		if string(msg.Data) == "again" {
			break
		}
		if len(msg.Data) != size {
			return fmt.Errorf("a message of %d bytes", len(msg.Data))
		}
	}
	return errors.Join(err, calm(others[0]), calm(others[1]))
}

func slowConsumer() error {
	return inTurn(pendingLimits, slowReader)
}

// deafServer: its clients notice by their own PINGs and go elsewhere, or to
// the successor.
func deafServer() error {
	s := server("hang")
	cuts := make(chan error, 1000)
	clients, err := several(6, s.url,
		nats.PingInterval(200*time.Millisecond),
		nats.MaxPingsOutstanding(2),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			cuts <- err
		}))
	if err != nil {
		return err
	}
	defer closeAll(clients)
	if err := meet(clients); err != nil {
		return err
	}
	cut := number("hang")
	for cut > 0 {
		why, err := next(cuts, "disconnect")
		if err != nil {
			return err
		}
		if !errors.Is(why, nats.ErrStaleConnection) {
			return fmt.Errorf("disconnect by %v", why)
		}
		cut--
	}
	for begun := time.Now(); ; time.Sleep(time.Millisecond) {
		if !slices.ContainsFunc(clients, func(c *client) bool {
			return !c.IsConnected()
		}) {
			break
		}
		if time.Since(begun) > timeout {
			return errors.New("not all have come back")
		}
	}
	return meet(clients)
}

func serverPings() error {
	s := server("pings")
	clients, err := several(3, s.url)
	if err != nil {
		return err
	}
	defer closeAll(clients)
	err = errors.Join(logged(12, "->> [PING]"), logged(14, "<<- [PONG]"))
	for _, c := range clients {
		err = errors.Join(err, calm(c))
	}
	return err
}

func pingTimeout() error {
	return inTurn(deafServer, serverPings)
}

// buffered: what is published while there is no connection goes out when
// there is one again, after the subscriptions.
func buffered() error {
	const count = 1000
	s := server("plain")
	cut, err := open(s.proxy)
	if err != nil {
		return err
	}
	defer cut.Close()
	other, err := open(s.url)
	if err != nil {
		return err
	}
	defer other.Close()
	own, err := cut.SubscribeSync("buffered")
	if err != nil {
		return err
	}
	far, err := other.SubscribeSync("buffered")
	if err != nil {
		return err
	}
	ten, err := cut.SubscribeSync("ten")
	if err != nil {
		return err
	}
	ten.AutoUnsubscribe(10)
	err = flushAll(cut, other)
	for range 4 {
		other.Publish("ten", []byte("x"))
	}
	err = errors.Join(err, wantMessages(ten, "x", "x", "x", "x"))
	if err != nil {
		return err
	}
	ask("cut")
	if _, err := next(cut.cuts, "disconnect"); err != nil {
		return err
	}
	for n := range count {
		if err := cut.Publish("buffered", fmt.Append(nil, n)); err != nil {
			return err
		}
	}
	ask("heal")
	if _, err := next(cut.reconnects, "reconnect"); err != nil {
		return err
	}
	for n := range count {
		text := fmt.Sprint(n)
		err := errors.Join(wantMessages(own, text),
			wantMessages(far, text))
		if err != nil {
			return err
		}
	}
	for range 20 {
		other.Publish("ten", []byte("x"))
	}
	err = errors.Join(wantMessages(ten, "x", "x", "x", "x", "x", "x"),
		flushAll(other, cut))
	_, more := ten.NextMsg(timeout)
	if !errors.Is(more, nats.ErrMaxMessages) &&
		!errors.Is(more, nats.ErrBadSubscription) {
		err = errors.Join(err, fmt.Errorf("an eleventh: %v", more))
	}
	return err
}

// bufferFull: the library does not keep more than it was told.
func bufferFull() error {
	s := server("plain")
	c, err := open(s.url, nats.ReconnectBufSize(1000))
	if err != nil {
		return err
	}
	defer c.Close()
	sub, err := c.SubscribeSync("full")
	if err != nil {
		return err
	}
	c.Flush()
	ask("down")
	if _, err := next(c.cuts, "disconnect"); err != nil {
		return err
	}
	kept := 0
	for err == nil && kept < 1000 {
		if err = c.Publish("full", []byte("0123456789")); err == nil {
			kept++
		}
	}
	if !errors.Is(err, nats.ErrReconnectBufExceeded) {
		return fmt.Errorf("after %d messages: %v", kept, err)
	}
	ask("up")
	if _, err := next(c.reconnects, "reconnect"); err != nil {
		return err
	}
	c.Publish("full", []byte("last"))
	for range kept {
		if err := wantMessages(sub, "0123456789"); err != nil {
			return err
		}
	}
	return wantMessages(sub, "last")
}

func reconnectBuffered() error {
	return inTurn(buffered, bufferFull)
}

// tally counts the numbers that come to a group.
type tally struct {
	sync.Mutex
	seen map[string]int
}

func (t *tally) take(msg *nats.Msg) {
	t.Lock()
	t.seen[string(msg.Data)]++
	t.Unlock()
}

func (t *tally) count() int {
	t.Lock()
	defer t.Unlock()
	return len(t.seen)
}

// drainMember: one member of a group leaves while another connection
// publishes as fast as it can; all messages come, once.
func drainMember(publisher, stays *client, s extra) error {
	group := tally{seen: map[string]int{}}
	var plain []string
	leaves, err := open(s.url)
	if err != nil {
		return err
	}
	defer leaves.Close()
	sub, err := stays.QueueSubscribe("load", "group", group.take)
	if err != nil {
		return err
	}
	defer sub.Unsubscribe()
	leaves.QueueSubscribe("load", "group", group.take)
	leaves.Subscribe("load", func(msg *nats.Msg) {
		plain = append(plain, string(msg.Data))
	})
	if err := flushAll(stays, leaves); err != nil {
		return err
	}
	begun, draining := time.Now(), false
	total, after := 0, 0
	for after < 10000 {
		publisher.Publish("load", fmt.Append(nil, total))
		total++
		if total%1000 == 0 {
			// no more under way than what the library keeps
			for total-group.count() > 100000 {
				time.Sleep(time.Millisecond)
			}
		}
		if !draining && total >= 10000 && group.count() > 0 {
			draining = true
			leaves.Drain()
		}
		select {
		case <-leaves.closed:
			after++
		default:
		}
		if time.Since(begun) > timeout {
			return errors.New("never drained")
		}
	}
	if err := flushAll(publisher, stays); err != nil {
		return err
	}
	for group.count() < total && time.Since(begun) < timeout {
		time.Sleep(time.Millisecond)
	}
	group.Lock()
	defer group.Unlock()
	for n := range total {
		if times := group.seen[fmt.Sprint(n)]; times != 1 {
			return fmt.Errorf("message %d of %d came %d times", n,
				total, times)
		}
	}
	for n, text := range plain {
		if text != fmt.Sprint(n) {
			return fmt.Errorf("%s instead of %d", text, n)
		}
	}
	if len(plain) == 0 || len(plain) == total {
		return fmt.Errorf("%d of %d before the drain", len(plain), total)
	}
	return nil
}

// drainPublisher: what it has published goes out before it closes.
func drainPublisher(other *client, s extra) error {
	const count = 20000
	c, err := open(s.url)
	if err != nil {
		return err
	}
	sub, err := other.SubscribeSync("drained")
	if err != nil {
		return err
	}
	defer sub.Unsubscribe()
	sub.SetPendingLimits(-1, -1)
	other.Flush()
	for n := range count {
		c.Publish("drained", fmt.Append(nil, n))
	}
	c.Drain()
	for n := range count {
		if err := wantMessages(sub, fmt.Sprint(n)); err != nil {
			return err
		}
	}
	<-c.closed
	return nil
}

func drainUnderLoad() error {
	s := server("plain")
	clients, err := several(2, s.url)
	if err != nil {
		return err
	}
	defer closeAll(clients)
	for range 3 {
		err := errors.Join(drainMember(clients[0], clients[1], s),
			drainPublisher(clients[1], s))
		if err != nil {
			return err
		}
	}
	return errors.Join(calm(clients[0]), calm(clients[1]))
}

// manySubscriptions: as many as one connection may have, all of them served;
// when all are gone, as many again.
func manySubscriptions() error {
	const count = 10000
	s := server("subs")
	clients, err := several(2, s.url)
	if err != nil {
		return err
	}
	defer closeAll(clients)
	c, other := clients[0], clients[1]
	for range 2 {
		var subs []*nats.Subscription
		for n := range count {
			sub, err := c.SubscribeSync(fmt.Sprint("many.", n))
			if err != nil {
				return err
			}
			subs = append(subs, sub)
		}
		if err := calm(c); err != nil {
			return err
		}
		excess, err := c.SubscribeSync("many.excess")
		if err != nil {
			return err
		}
		err = errors.Join(c.Flush(),
			wantError(c.errs, nats.ErrMaxSubscriptionsExceeded))
		if err != nil {
			return err
		}
		excess.Unsubscribe()
		for n := range count {
			other.Publish(fmt.Sprint("many.", n), fmt.Append(nil, n))
		}
		for n, sub := range subs {
			if err := wantMessages(sub, fmt.Sprint(n)); err != nil {
				return err
			}
		}
		for _, sub := range subs {
			sub.Unsubscribe()
		}
		if err := c.Flush(); err != nil {
			return err
		}
		for n := 0; n < count; n += 101 {
			_, err := other.Request(fmt.Sprint("many.", n), nil,
				timeout)
			if !errors.Is(err, nats.ErrNoResponders) {
				return fmt.Errorf("many.%d is still there: %v",
					n, err)
			}
		}
	}
	return calm(other)
}

// replies asks once and takes answers until done says that these are all, or
// none comes for the time given.
func replies(nc *nats.Conn, subject string, wait time.Duration,
	done func([]*nats.Msg) bool) ([]*nats.Msg, error) {
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	defer sub.Unsubscribe()
	nc.PublishRequest(subject, inbox, nil)
	var got []*nats.Msg
	for {
		msg, err := sub.NextMsg(wait)
		if err != nil {
			return got, err
		}
		got = append(got, msg)
		if done(got) {
			return got, nil
		}
	}
}

func some(count int) func([]*nats.Msg) bool {
	return func(got []*nats.Msg) bool { return len(got) == count }
}

func toSentinel(got []*nats.Msg) bool {
	return len(got[len(got)-1].Data) == 0
}

func texts(msgs []*nats.Msg) string {
	var all []string
	for _, msg := range msgs {
		all = append(all, string(msg.Data))
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func askMany(nc *nats.Conn) error {
	got, err := replies(nc, "many", timeout, some(connections-1))
	if err != nil || len(got) != connections-1 {
		return fmt.Errorf("by count: %q, %v", texts(got), err)
	}
	got, err = replies(nc, "many", 100*time.Millisecond,
		func([]*nats.Msg) bool { return false })
	if !errors.Is(err, nats.ErrTimeout) || texts(got) != "0 1 2 3 4 5" {
		return fmt.Errorf("by time: %q, %v", texts(got), err)
	}
	got, err = replies(nc, "stream", timeout, toSentinel)
	if err != nil || len(got) != 51 || string(got[49].Data) != "49" {
		return fmt.Errorf("by sentinel: %q, %v", texts(got), err)
	}
	got, err = replies(nc, "nobody.there", timeout, toSentinel)
	if !errors.Is(err, nats.ErrNoResponders) {
		return fmt.Errorf("nobody: %v, %v", got, err)
	}
	return nil
}

func requestMany() error {
	for n, nc := range conns {
		sub, err := nc.Subscribe("many", func(msg *nats.Msg) {
			msg.Respond(fmt.Append(nil, n))
		})
		if err != nil {
			return err
		}
		defer sub.Unsubscribe()
	}
	sub, err := conns[1].Subscribe("stream", func(msg *nats.Msg) {
		for n := range 50 {
			msg.Respond(fmt.Append(nil, n))
		}
		msg.Respond(nil)
	})
	if err != nil {
		return err
	}
	defer sub.Unsubscribe()
	if err := flush(); err != nil {
		return err
	}
	for _, nc := range conns {
		if err := askMany(nc); err != nil {
			return err
		}
	}
	return nil
}

const instances, doubled = 3, 200

func addService(nc *nats.Conn, place string) (micro.Service, error) {
	service, err := micro.AddService(nc, micro.Config{
		Name: "sums", Version: "1.2.3", Description: "adds up",
		Metadata: map[string]string{"place": place},
	})
	if err != nil {
		return nil, err
	}
	group := service.AddGroup("sums")
	return service, errors.Join(
		group.AddEndpoint("double", micro.HandlerFunc(
			func(r micro.Request) {
				r.Respond(bytes.Repeat(r.Data(), 2))
			})),
		group.AddEndpoint("fail", micro.HandlerFunc(
			func(r micro.Request) {
				r.Error("400", "cannot", []byte("why"))
			})))
}

// useService has each connection ask it; one in ten asks for an error too.
func useService() error {
	for n := range doubled {
		nc := conns[n%connections]
		msg, err := nc.Request("sums.double", fmt.Append(nil, n), timeout)
		if err != nil {
			return err
		}
		if string(msg.Data) != fmt.Sprintf("%d%[1]d", n) {
			return fmt.Errorf("reply %q", msg.Data)
		}
		if n%10 > 0 {
			continue
		}
		msg, err = nc.Request("sums.fail", nil, timeout)
		if err != nil {
			return err
		}
		if msg.Header.Get(micro.ErrorHeader) != "cannot" ||
			msg.Header.Get(micro.ErrorCodeHeader) != "400" ||
			string(msg.Data) != "why" {
			return fmt.Errorf("error %v %q", msg.Header, msg.Data)
		}
	}
	return nil
}

// discover asks the services and decodes what they answer.
func discover[T any](nc *nats.Conn, verb micro.Verb, name, id string,
	count int) ([]T, error) {
	subject, err := micro.ControlSubject(verb, name, id)
	if err != nil {
		return nil, err
	}
	got, err := replies(nc, subject, timeout, some(count))
	if err != nil {
		return nil, fmt.Errorf("%s: %d of %d, %w", subject, len(got),
			count, err)
	}
	found := make([]T, count)
	for n, msg := range got {
		if err := json.Unmarshal(msg.Data, &found[n]); err != nil {
			return nil, fmt.Errorf("%s: %w", subject, err)
		}
	}
	return found, nil
}

func discovery(nc *nats.Conn) error {
	pings, err := discover[micro.Ping](nc, micro.PingVerb, "", "", instances)
	if err != nil {
		return err
	}
	places := map[string]bool{}
	for _, ping := range pings {
		infos, err := discover[micro.Info](nc, micro.InfoVerb, "sums",
			ping.ID, 1)
		if err != nil {
			return err
		}
		if infos[0].Description != "adds up" ||
			len(infos[0].Endpoints) != 2 ||
			infos[0].Endpoints[0].Subject != "sums.double" {
			return fmt.Errorf("info %+v", infos[0])
		}
		places[infos[0].Metadata["place"]] = true
	}
	if len(places) != instances {
		return fmt.Errorf("instances at %v", places)
	}
	stats, err := discover[micro.Stats](nc, micro.StatsVerb, "sums", "",
		instances)
	if err != nil {
		return err
	}
	requests, failures := 0, 0
	for _, one := range stats {
		if one.Endpoints[0].NumRequests == 0 {
			return errors.New("one instance got nothing")
		}
		requests += one.Endpoints[0].NumRequests
		failures += one.Endpoints[1].NumErrors
	}
	if requests != doubled || failures != doubled/10 {
		return fmt.Errorf("%d requests, %d errors", requests, failures)
	}
	return nil
}

func services() error {
	var running []micro.Service
	for n := range instances {
		service, err := addService(conns[n], fmt.Sprint(n))
		if err != nil {
			return err
		}
		defer service.Stop()
		running = append(running, service)
	}
	if err := errors.Join(flush(), useService()); err != nil {
		return err
	}
	for _, nc := range conns {
		if err := discovery(nc); err != nil {
			return err
		}
	}
	for _, service := range running {
		service.Stop()
	}
	if err := flush(); err != nil {
		return err
	}
	for _, subject := range []string{"$SRV.PING", "$SRV.INFO.sums",
		"sums.double"} {
		_, err := conns[0].Request(subject, nil, timeout)
		if !errors.Is(err, nats.ErrNoResponders) {
			return fmt.Errorf("%s after the end: %v", subject, err)
		}
	}
	return nil
}

// asyncInfo: natsd sends INFO once; the library waits for no second one.
func asyncInfo() error {
	s := server("trace")
	clients, err := several(4, s.url)
	if err != nil {
		return err
	}
	defer closeAll(clients)
	err = flushAll(clients...)
	ask("reload larger")
	err = errors.Join(err, meet(clients), flushAll(clients...),
		logged(4*4, "->> [PONG]"))
	if n := number("infos"); n != 1 {
		err = errors.Join(err, fmt.Errorf("%d INFO lines", n))
	}
	ids := map[uint64]bool{}
	for _, c := range clients {
		id, more := c.GetClientID()
		ids[id] = true
		err = errors.Join(err, more, calm(c))
		if len(c.DiscoveredServers()) > 0 || c.MaxPayload() != 1<<20 ||
			c.ConnectedServerId() != clients[0].ConnectedServerId() {
			err = errors.Join(err, errors.New("INFO has changed"))
		}
	}
	if len(ids) != len(clients) {
		err = errors.Join(err, fmt.Errorf("client ids %v", ids))
	}
	return err
}
