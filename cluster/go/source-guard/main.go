// source-guard: a CNI plugin, the last of its chain. It notes by which device of the node a pod sends, and which IPv6 addresses the pod
// has; the node's rules (SOURCE_GUARD in cluster/devbox_cluster/config.py) let those pass there, and no others.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
)

// What the plugins before it made: https://www.cni.dev/docs/spec/#add-success
type result struct {
	Interfaces []struct {
		Name    string `json:"name"`
		Sandbox string `json:"sandbox"`
	} `json:"interfaces"`
	IPs []struct {
		Address netip.Prefix `json:"address"`
	} `json:"ips"`
}

type configuration struct {
	CNIVersion string          `json:"cniVersion"`
	Bridge     string          `json:"bridge"`
	Table      string          `json:"table"`
	PrevResult json.RawMessage `json:"prevResult"`
}

func main() {
	var conf configuration
	if err := json.NewDecoder(os.Stdin).Decode(&conf); err != nil {
		fail(conf, fmt.Errorf("standard input is no configuration: %w", err))
	}
	switch os.Getenv("CNI_COMMAND") {
	case "VERSION":
		fmt.Println(`{"cniVersion": "1.0.0", "supportedVersions": ["0.4.0", "1.0.0"]}`)
	case "ADD":
		port, addresses, err := read(conf)
		if err == nil && (port == "" || len(addresses) == 0) {
			err = errors.New("the plugins before it made no device with an IPv6 address")
		}
		if err == nil {
			err = nft("add", conf.Table, port, addresses)
		}
		if err != nil {
			fail(conf, err)
		}
		os.Stdout.Write(conf.PrevResult)
	case "DEL": // may come twice, and for what never was
		if port, addresses, err := read(conf); err == nil && port != "" {
			_ = nft("delete", conf.Table, port, addresses)
		}
	}
}

// The pod's port of the bridge, and its IPv6 addresses.
func read(conf configuration) (port string, addresses []string, err error) {
	if len(conf.PrevResult) == 0 {
		return "", nil, nil
	}
	var made result
	if err := json.Unmarshal(conf.PrevResult, &made); err != nil {
		return "", nil, fmt.Errorf("prevResult: %w", err)
	}
	for _, device := range made.Interfaces {
		if device.Sandbox == "" && device.Name != conf.Bridge {
			port = device.Name
		}
	}
	for _, one := range made.IPs {
		if one.Address.Addr().Is6() {
			addresses = append(addresses, one.Address.Addr().String())
		}
	}
	return port, addresses, nil
}

func nft(verb, table, port string, addresses []string) error {
	var script strings.Builder
	for _, address := range addresses {
		fmt.Fprintf(&script, "%s element bridge %s sources { %q . %s }\n", verb, table, port, address)
	}
	fmt.Fprintf(&script, "%s element bridge %s ports { %q }\n", verb, table, port)
	command := exec.Command("nft", "-f", "-")
	command.Stdin = strings.NewReader(script.String())
	if said, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("nft %s element: %s", verb, strings.TrimSpace(string(said)))
	}
	return nil
}

// https://www.cni.dev/docs/spec/#error
func fail(conf configuration, err error) {
	_ = json.NewEncoder(os.Stdout).Encode(map[string]any{"cniVersion": conf.CNIVersion, "code": 100, "msg": "source-guard: " + err.Error()})
	os.Exit(1)
}
