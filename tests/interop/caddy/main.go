// SPDX-License-Identifier: Apache-2.0

// Caddy as its own cmd/caddy/main.go makes it.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
)

func main() {
	caddycmd.Main()
}
