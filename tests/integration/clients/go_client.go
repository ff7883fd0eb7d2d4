// SPDX-License-Identifier: Apache-2.0

// amqp091-go: publish with confirms, consume, close. See README.md.
package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"strconv"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func publish(channel *amqp.Channel, queue string, total int) {
	check(channel.Confirm(false))
	confirmations := channel.NotifyPublish(make(chan amqp.Confirmation, total))
	for i := 0; i < total; i++ {
		body := fmt.Sprintf("message %d %s", i, strings.Repeat("x", 97*i%3000))
		check(channel.PublishWithContext(context.Background(), "", queue, true, false,
			amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte(body)}))
	}
	for n := 0; n < total; n++ {
		if confirmation := <-confirmations; !confirmation.Ack {
			check(fmt.Errorf("message %d was refused", confirmation.DeliveryTag))
		}
	}
}

func consume(channel *amqp.Channel, queue string, total int) [sha256.Size]byte {
	check(channel.Qos(10, 0, false))
	deliveries, err := channel.Consume(queue, "", false, false, false, false, nil)
	check(err)
	var all []byte
	for n := 0; n < total; n++ {
		delivery, open := <-deliveries
		if !open {
			check(fmt.Errorf("the channel was closed after %d messages", n))
		}
		all = append(all, delivery.Body...)
		check(delivery.Ack(false))
	}
	return sha256.Sum256(all)
}

func main() {
	host, port, vhost := os.Args[1], os.Args[2], os.Args[3]
	total, err := strconv.Atoi(os.Args[4])
	check(err)
	connection, err := amqp.DialConfig(fmt.Sprintf("amqp://guest:guest@%s:%s/", host, port), amqp.Config{Vhost: vhost})
	check(err)
	channel, err := connection.Channel()
	check(err)
	queue, err := channel.QueueDeclare("", false, false, true, false, nil)
	check(err)

	publish(channel, queue.Name, total)
	digest := consume(channel, queue.Name, total)
	check(channel.Close())
	check(connection.Close())
	fmt.Printf("ok %d %x\n", total, digest)
}
