# SPDX-License-Identifier: Apache-2.0
# AnyEvent::RabbitMQ: publish with confirms, consume, close. See README.md.
use strict;
use warnings;
use AnyEvent::RabbitMQ;
use Digest::SHA;

my ($host, $port, $vhost, $total) = @ARGV;

# Starts one asynchronous operation and waits for its result.
sub wait_for {
    my ($what, $start) = @_;
    my $result = AnyEvent->condvar;
    my $failed = sub {
        my $why = shift;
        $why = $why->method_frame->reply_text if ref $why && $why->can('method_frame');
        $result->croak("$what: " . ($why // 'failed'));
    };
    $start->(on_success => sub { $result->send(@_) }, on_failure => $failed);
    return $result->recv;
}

my $rabbit = AnyEvent::RabbitMQ->new->load_xml_spec;
wait_for(connect => sub {
    $rabbit->connect(host => $host, port => $port, user => 'guest', pass => 'guest', vhost => $vhost,
                     timeout => 20, on_close => sub { die "closed by the broker\n" }, @_);
});
my $channel  = wait_for(channel => sub { $rabbit->open_channel(@_) });
my $declared = wait_for(declare => sub { $channel->declare_queue(queue => '', exclusive => 1, @_) });
my $queue    = $declared->method_frame->queue;

wait_for(confirm => sub { $channel->confirm(@_) });
my $confirms = AnyEvent->condvar;
$confirms->begin for 1 .. $total;
for my $i (0 .. $total - 1) {
    $channel->publish(
        exchange    => '',
        routing_key => $queue,
        header      => {delivery_mode => 2},
        body        => "message $i " . 'x' x (97 * $i % 3000),
        on_ack      => sub { $confirms->end },
        on_nack     => sub { $confirms->croak('a message was refused') });
}
$confirms->recv;

my $digest = Digest::SHA->new(256);
my $all    = AnyEvent->condvar;
$all->begin for 1 .. $total;
wait_for(qos => sub { $channel->qos(prefetch_count => 10, @_) });
wait_for(consume => sub {
    $channel->consume(
        queue      => $queue,
        no_ack     => 0,
        on_consume => sub {
            my $message = shift;
            $digest->add($message->{body}->payload);
            $channel->ack(delivery_tag => $message->{deliver}->method_frame->delivery_tag);
            $all->end;
        },
        @_);
});
$all->recv;
wait_for('close channel' => sub { $channel->close(@_) });
wait_for(close => sub { $rabbit->close(@_) });
print "ok $total ", $digest->hexdigest, "\n";
