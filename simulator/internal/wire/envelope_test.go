package wire_test

import (
	"cmp"
	"strings"
	"testing"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"vmsnapshot/simulator/internal/wire"
)

func envelope(header, body string) string {
	return `<?xml version="1.0" encoding="UTF-8"?>` +
		`<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"` +
		` xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">` +
		header + `<soapenv:Body>` + body + `</soapenv:Body></soapenv:Envelope>`
}

const rename = `<RenameSnapshot xmlns="urn:vim25"><_this type="VirtualMachineSnapshot">snapshot-1</_this>` +
	`<description></description></RenameSnapshot>`

// A request's head is read whatever the header, and the token reaches the handler.
func TestParseAndTag(t *testing.T) {
	for header, id := range map[string]string{
		"":                  "",
		"<soapenv:Header/>": "",
		`<soapenv:Header><activationId xsi:type="xsd:string">act</activationId></soapenv:Header>`:                                            "act",
		`<soapenv:Header><operationID>op</operationID></soapenv:Header>`:                                                                     "op",
		`<soapenv:Header><operationID>op</operationID><activationId>act</activationId><vcSessionCookie>c</vcSessionCookie></soapenv:Header>`: "act",
	} {
		data := []byte(envelope(header, rename))
		head, err := wire.Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		want := types.ManagedObjectReference{Type: "VirtualMachineSnapshot", Value: "snapshot-1"}
		if head.Method != "RenameSnapshot" || head.This != want || cmp.Or(head.ActivationID, head.OperationID) != id ||
			len(head.Given) != 1 || head.Given[0] != "description" {
			t.Errorf("%q: %+v", header, head)
		}
		method, err := simulator.UnmarshalBody(types.TypeFunc(), wire.Tag(data, head, "token"))
		if err != nil {
			t.Fatal(err)
		}
		if method.Header.ID != "token" || method.This != want {
			t.Errorf("%q: %+v", header, method)
		}
		if strings.Contains(header, "vcSessionCookie") && method.Header.Cookie.Value != "c" {
			t.Errorf("%q lost its cookie", header)
		}
	}
}

// What isn't a call is an error.
func TestParseRefuses(t *testing.T) {
	for _, data := range []string{"", "nonsense", "<a>", envelope("", "")} {
		if head, err := wire.Parse([]byte(data)); err == nil {
			t.Errorf("%q: %+v", data, head)
		}
	}
}

// Empty and upstream's own fault texts become vCenter's; others stay.
func TestFillFaultString(t *testing.T) {
	fault := func(text string) string {
		return `<faultcode>ServerFaultCode</faultcode><faultstring>` + text + `</faultstring>` +
			`<detail><InvalidLoginFault xmlns="urn:vim25" xsi:type="InvalidLogin"></InvalidLoginFault></detail>`
	}
	const words = "Cannot complete login due to an incorrect user name or password."
	for text, want := range map[string]string{"": words, "Login failure": words, "as asked": "as asked"} {
		if got := string(wire.FillFaultString([]byte(fault(text)))); got != fault(want) {
			t.Errorf("%q: %s", text, got)
		}
	}
}
