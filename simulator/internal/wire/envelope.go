// Package wire reads what the simulator needs to know of a SOAP request before
// govmomi decodes it, and completes the answers govmomi leaves half empty.
package wire

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"

	"github.com/vmware/govmomi/vim25/types"
)

const soapNamespace = "http://schemas.xmlsoap.org/soap/envelope/"

// Head is the part of a request that can be known without decoding its
// arguments.
type Head struct {
	Method string
	This   types.ManagedObjectReference
	// ActivationID and OperationID are the client's own names for the task the call
	// starts, from the elements of the header. What becomes of them is the task
	// package's (Marks).
	ActivationID string
	OperationID  string
	// Given names the arguments that the request holds. It is read for
	// RenameSnapshot only, where an empty description isn't the same as none.
	Given     []string
	insertAt  int64
	hasHeader bool
}

var errNoMethod = errors.New("no method in the SOAP body")

// Parse reads data up to the method's _this element.
func Parse(data []byte) (Head, error) {
	var head Head

	d := xml.NewDecoder(bytes.NewReader(data))
	depth := 0
	section := ""
	for {
		before := d.InputOffset()
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return head, errNoMethod
		}
		if err != nil {
			return head, err
		}
		switch t := token.(type) {
		case xml.StartElement:
			depth++
			switch {
			case depth == 2:
				section = t.Name.Local
				if section == "Body" && !head.hasHeader {
					head.insertAt = before
				}
			case depth == 3 && section == "Header":
				var text string
				if err := d.DecodeElement(&text, &t); err != nil {
					return head, err
				}
				depth--
				switch t.Name.Local {
				case "activationId":
					head.ActivationID = text
				case "operationID":
					head.OperationID = text
				}
			case depth == 3 && section == "Body":
				head.Method = t.Name.Local
			case depth == 4 && section == "Body" && t.Name.Local == "_this":
				if err := d.DecodeElement(&head.This, &t); err != nil {
					return head, err
				}
				depth--
				if head.Method != "RenameSnapshot" {
					return head, nil
				}
			case depth == 4 && section == "Body":
				head.Given = append(head.Given, t.Name.Local)
			}
		case xml.EndElement:
			// A header written as <Header/> has no inside to insert into.
			if depth == 2 && section == "Header" && d.InputOffset() > before {
				head.insertAt, head.hasHeader = before, true
			}
			depth--
			if depth == 1 && section == "Body" {
				if head.Method == "" {
					return head, errNoMethod
				}
				return head, nil
			}
		}
	}
}

// Tag returns data with token as its operationID, the one header element that
// govmomi hands on to method handlers.
func Tag(data []byte, head Head, token string) []byte {
	element := `<operationID xmlns="urn:vim25">` + token + `</operationID>`
	if !head.hasHeader {
		element = `<Header xmlns="` + soapNamespace + `">` + element + `</Header>`
	}
	out := make([]byte, 0, len(data)+len(element))
	out = append(out, data[:head.insertAt]...)
	out = append(out, element...)
	return append(out, data[head.insertAt:]...)
}
