# SPDX-License-Identifier: Apache-2.0
# Bunny: publish with confirms, consume, close. See README.md.
require "bunny"
require "digest"

host, port, vhost, count = ARGV
total = count.to_i

connection = Bunny.new(host: host, port: port.to_i, vhost: vhost, automatically_recover: false)
connection.start
channel = connection.create_channel
channel.confirm_select
queue = channel.queue("", exclusive: true)

total.times do |i|
  channel.default_exchange.publish("message #{i} " + "x" * (97 * i % 3000),
                                   routing_key: queue.name, persistent: true)
end
abort "not all messages were confirmed" unless channel.wait_for_confirms

digest = Digest::SHA256.new
received = 0
done = Queue.new
channel.prefetch(10)
consumer = queue.subscribe(manual_ack: true) do |delivery, _properties, body|
  digest << body
  channel.ack(delivery.delivery_tag)
  received += 1
  done << true if received == total
end
done.pop
consumer.cancel
connection.close
puts "ok #{total} #{digest.hexdigest}"
