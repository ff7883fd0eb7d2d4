<?php
// SPDX-License-Identifier: Apache-2.0
// php-amqplib: publish with confirms, consume, close. See README.md.
require_once 'PhpAmqpLib/autoload.php';

use PhpAmqpLib\Connection\AMQPStreamConnection;
use PhpAmqpLib\Message\AMQPMessage;

[, $host, $port, $vhost, $count] = $argv;
$total = (int) $count;

$connection = new AMQPStreamConnection($host, (int) $port, 'guest', 'guest', $vhost);
$channel = $connection->channel();
[$queue] = $channel->queue_declare('', false, false, true, false);

$confirmed = 0;
$channel->confirm_select();
$channel->set_nack_handler(function () {
    fwrite(STDERR, "a message was refused\n");
    exit(1);
});
$channel->set_ack_handler(function () use (&$confirmed) {
    $confirmed++;
});
for ($i = 0; $i < $total; $i++) {
    $body = "message $i " . str_repeat('x', 97 * $i % 3000);
    $properties = ['delivery_mode' => AMQPMessage::DELIVERY_MODE_PERSISTENT];
    $channel->basic_publish(new AMQPMessage($body, $properties), '', $queue);
}
$channel->wait_for_pending_acks(30);
if ($confirmed !== $total) {
    fwrite(STDERR, "$confirmed of $total messages were confirmed\n");
    exit(1);
}

$digest = hash_init('sha256');
$received = 0;
$channel->basic_qos(null, 10, null);
$channel->basic_consume($queue, '', false, false, false, false, function ($message) use ($digest, &$received) {
    hash_update($digest, $message->getBody());
    $message->ack();
    $received++;
});
while ($received < $total) {
    $channel->wait(null, false, 30);
}
$channel->close();
$connection->close();
echo "ok $total ", hash_final($digest), "\n";
