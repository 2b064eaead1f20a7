<?php
// What the wiki tells the world: recentchange by its own feed, the other streams by its own hooks, in
// the shapes of Wikimedia's EventBus. Each event is one datagram; they are numbered per wiki, so that
// one that got lost is missed.

use MediaWiki\MediaWikiServices;
use MediaWiki\Permissions\Authority;
use MediaWiki\Page\ProperPageIdentity;
use MediaWiki\Revision\RevisionRecord;
use MediaWiki\Revision\SlotRecord;
use MediaWiki\Storage\EditResult;
use MediaWiki\User\UserIdentity;

final class ProofStreams {
	/** Numbers the event, completes `meta` and hands it over. */
	public static function send( string $stream, array $event, string $uri ): void {
		global $wgServerName;
		$event['meta'] = [
			'uri' => $uri,
			'request_id' => WebRequest::getRequestId(),
			'id' => self::uuid(),
			'domain' => $wgServerName,
		] + ( $event['meta'] ?? [] );
		$wiki = WikiMap::getCurrentWikiId();
		$folder = getenv( 'PROOF_FOLDER' );
		$counter = fopen( "$folder/sent-$wiki", 'c+' );
		flock( $counter, LOCK_EX );
		$number = (int)stream_get_contents( $counter ) + 1;
		// counted first: what can't be sent is missed all the same
		rewind( $counter );
		fwrite( $counter, (string)$number );
		$line = json_encode(
			[ 'wiki' => $wiki, 'number' => $number, 'stream' => $stream, 'event' => $event ],
			JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE | JSON_INVALID_UTF8_SUBSTITUTE
		);
		$socket = stream_socket_client( "udg://\0" . getenv( 'PROOF_EVENTS' ), $code, $message, 10 );
		$sent = $socket ? fwrite( $socket, $line ) : 0;
		fclose( $counter );
		if ( $sent !== strlen( $line ) ) {
			throw new RuntimeException( "event $number of $wiki was not sent: $message" );
		}
	}

	/** Once the database holds what the event tells; it says how things are now. */
	private static function afterCommit( string $stream, array $event, Title $title ): void {
		$uri = $title->getCanonicalURL();
		DeferredUpdates::addCallableUpdate(
			static function () use ( $stream, $event, $uri ) {
				self::send( $stream, $event, $uri );
			},
			DeferredUpdates::PRESEND,
			wfGetDB( DB_PRIMARY )
		);
	}

	private static function uuid(): string {
		$bytes = random_bytes( 16 );
		$bytes[6] = chr( ord( $bytes[6] ) & 0x0f | 0x40 );
		$bytes[8] = chr( ord( $bytes[8] ) & 0x3f | 0x80 );
		return vsprintf( '%s%s-%s-%s-%s-%s%s%s', str_split( bin2hex( $bytes ), 4 ) );
	}

	private static function dt( ?string $timestamp = null ): string {
		return wfTimestamp( TS_ISO_8601, $timestamp ?? wfTimestampNow() );
	}

	// ── mediawiki.page_change.v1 ──

	public static function saved(
		WikiPage $page, UserIdentity $user, $summary, $flags, RevisionRecord $revision, EditResult $result
	): void {
		if ( $result->isNullEdit() ) {
			return;
		}
		$kind = $result->isNew() ? 'create' : 'edit';
		$event = self::pageChange( $page->getTitle(), $page->getId(), $page->isRedirect(), $kind, $revision );
		$event['dt'] = self::dt( $revision->getTimestamp() );
		$event['performer'] = self::user( $user );
		if ( $kind === 'edit' ) {
			$event['prior_state'] = [ 'revision' => self::revision( self::parent( $revision ) ) ];
		}
		if ( $result->isRevert() ) {
			$event['revision']['revert'] = [
				'rev_reverted_oldest_id' => $result->getOldestRevertedRevisionId(),
				'rev_reverted_newest_id' => $result->getNewestRevertedRevisionId(),
			];
		}
		self::afterCommit( 'mediawiki.page_change.v1', $event, $page->getTitle() );
	}

	public static function moved( $old, $new, UserIdentity $user, $pageId, $redirectId, $reason, $revision ): void {
		$from = Title::newFromLinkTarget( $old );
		$to = Title::newFromLinkTarget( $new );
		$page = MediaWikiServices::getInstance()->getWikiPageFactory()->newFromTitle( $to );
		$page->loadPageData( WikiPage::READ_LATEST );
		$event = self::pageChange( $to, $pageId, $page->isRedirect(), 'move', $revision );
		$event['performer'] = self::user( $user );
		$event['comment'] = $reason;
		$prior = [ 'page_title' => $from->getPrefixedDBkey() ];
		if ( $from->getNamespace() !== $to->getNamespace() ) {
			$prior['namespace_id'] = $from->getNamespace();
		}
		$event['prior_state'] = [ 'page' => $prior, 'revision' => self::revision( self::parent( $revision ) ) ];
		if ( $redirectId ) {
			$event['created_redirect_page'] = self::page( $from, $redirectId, true );
		}
		self::afterCommit( 'mediawiki.page_change.v1', $event, $to );
	}

	public static function deleted(
		ProperPageIdentity $page, Authority $deleter, string $reason, int $pageId, RevisionRecord $revision,
		ManualLogEntry $log, int $count
	): void {
		$title = Title::castFromPageIdentity( $page );
		// what stood in the page's row has gone with it
		$content = $revision->getContent( SlotRecord::MAIN, RevisionRecord::RAW );
		$event = self::pageChange( $title, $pageId, $content && $content->isRedirect(), 'delete', $revision );
		$event['page']['revision_count'] = $count;
		$event['comment'] = $reason;
		if ( $log->getType() === 'suppress' ) {
			// Who did it and what it was is exactly what must not be told.
			$shown = array_flip( [ 'rev_id', 'rev_dt', 'is_minor_edit', 'rev_parent_id' ] );
			$flags = [ 'is_content_visible', 'is_editor_visible', 'is_comment_visible' ];
			$was = array_filter( array_intersect_key( $event['revision'], array_flip( $flags ) ) );
			$event['revision'] = array_intersect_key( $event['revision'], $shown ) + array_fill_keys( $flags, false );
			$event['prior_state'] = [ 'revision' => $was ];
		} else {
			$event['performer'] = self::user( $deleter->getUser() );
		}
		self::afterCommit( 'mediawiki.page_change.v1', $event, $title );
	}

	/** Onto a page that is there nothing is told. */
	public static function undeleted( Title $title, $create, $comment, $oldPageId, $restored ): void {
		if ( !$create ) {
			return;
		}
		$page = MediaWikiServices::getInstance()->getWikiPageFactory()->newFromTitle( $title );
		$page->loadPageData( WikiPage::READ_LATEST );
		$event = self::pageChange( $title, $page->getId(), $page->isRedirect(), 'undelete', $page->getRevisionRecord() );
		$event['comment'] = $comment;
		$event['performer'] = self::user( RequestContext::getMain()->getUser() );
		self::afterCommit( 'mediawiki.page_change.v1', $event, $title );
	}

	// ── mediawiki.revision-visibility-change, and page_change's, which is of the newest revision only ──

	public static function visibilitySet( Title $title, array $ids, array $changes ): void {
		$user = RequestContext::getMain()->getUser();
		foreach ( $ids as $id ) {
			$revision = self::revisionById( $id );
			if ( !$revision || !isset( $changes[$id] ) ) {
				continue;
			}
			[ 'oldBits' => $oldBits, 'newBits' => $newBits ] = $changes[$id];
			$suppressed = (bool)( ( $newBits | $oldBits ) & RevisionRecord::DELETED_RESTRICTED );
			$event = self::revisionEvent( $revision ) + [
				'$schema' => '/mediawiki/revision/visibility-change/1.0.0',
				'visibility' => self::visibility( $newBits ),
				'prior_state' => [ 'visibility' => self::visibility( $oldBits ) ],
			];
			if ( !$suppressed ) {
				$event['performer'] = self::oldUser( $user );
			} elseif ( $newBits & RevisionRecord::DELETED_RESTRICTED ) {
				unset( $event['rev_sha1'], $event['rev_len'] );
			}
			self::afterCommit( 'mediawiki.revision-visibility-change', $event, $title );
			if ( !$revision->isCurrent() ) {
				continue;
			}
			$id = $revision->getPageId();
			$change = self::pageChange( $title, $id, $title->isRedirect(), 'visibility_change', $revision );
			if ( !$suppressed ) {
				$change['performer'] = self::user( $user );
			}
			$names = [ 'text' => 'content', 'user' => 'editor', 'comment' => 'comment' ];
			$was = self::visibility( $oldBits );
			foreach ( self::visibility( $newBits ) as $what => $visible ) {
				if ( $visible !== $was[$what] ) {
					$change['prior_state']['revision']["is_{$names[$what]}_visible"] = $was[$what];
				}
			}
			self::afterCommit( 'mediawiki.page_change.v1', $change, $title );
		}
	}

	private static function visibility( int $bits ): array {
		return [
			'text' => !( $bits & RevisionRecord::DELETED_TEXT ),
			'user' => !( $bits & RevisionRecord::DELETED_USER ),
			'comment' => !( $bits & RevisionRecord::DELETED_COMMENT ),
		];
	}

	// ── mediawiki.revision-tags-change ──

	public static function tagged( $added, $removed, $before, $rcId, $revisionId, $logId, $params, $rc, $user ): void {
		$revision = $revisionId ? self::revisionById( $revisionId ) : null;
		if ( !$revision ) {
			return;
		}
		$event = self::revisionEvent( $revision ) + [
			'$schema' => '/mediawiki/revision/tags-change/1.0.0',
			'tags' => array_values( array_unique( array_diff( array_merge( $before, $added ), $removed ) ) ),
			'prior_state' => [ 'tags' => array_values( $before ) ],
		];
		if ( $revision->getUser() ) {
			$event['performer'] = self::oldUser( $revision->getUser() );
		}
		if ( $revision->getComment() ) {
			$event['comment'] = $revision->getComment()->text;
			$event['parsedcomment'] = self::parsed( $revision->getComment()->text );
		}
		self::afterCommit( 'mediawiki.revision-tags-change', $event, Title::castFromPageIdentity( $revision->getPage() ) );
	}

	// ── their parts ──

	private static function revisionById( int $id ): ?RevisionRecord {
		return MediaWikiServices::getInstance()->getRevisionLookup()
			->getRevisionById( $id, IDBAccessObject::READ_LATEST );
	}

	private static function parent( RevisionRecord $revision ): RevisionRecord {
		return self::revisionById( $revision->getParentId() );
	}

	private static function pageChange(
		Title $title, int $pageId, bool $isRedirect, string $kind, RevisionRecord $revision
	): array {
		$wiki = WikiMap::getCurrentWikiId();
		$changelog = [ 'create' => 'insert', 'undelete' => 'insert', 'delete' => 'delete' ];
		return [
			'$schema' => '/mediawiki/page/change/1.12.0',
			'changelog_kind' => $changelog[$kind] ?? 'update',
			'page_change_kind' => $kind,
			'dt' => self::dt(),
			'wiki_id' => $wiki,
			'page' => self::page( $title, $pageId, $isRedirect ),
			'revision' => self::revision( $revision ),
			'meta' => [ 'key' => [ 'wiki_id' => $wiki, 'page_id' => $pageId ] ],
		];
	}

	private static function page( Title $title, int $pageId, bool $isRedirect ): array {
		return [
			'page_id' => $pageId,
			'page_title' => $title->getPrefixedDBkey(),
			'namespace_id' => $title->getNamespace(),
			'is_redirect' => $isRedirect,
		];
	}

	/** As the public may see it. */
	private static function revision( RevisionRecord $revision ): array {
		$visible = self::visibility( $revision->getVisibility() );
		$told = [
			'rev_id' => $revision->getId(),
			'rev_dt' => self::dt( $revision->getTimestamp() ),
			'is_minor_edit' => $revision->isMinor(),
			'rev_parent_id' => (int)$revision->getParentId(),
			'is_content_visible' => $visible['text'],
			'is_editor_visible' => $visible['user'],
			'is_comment_visible' => $visible['comment'],
		];
		if ( $revision->isDeleted( RevisionRecord::DELETED_RESTRICTED ) ) {
			return $told;
		}
		$told['rev_size'] = $revision->getSize();
		if ( $revision->getComment() ) {
			$told['comment'] = $revision->getComment()->text;
		}
		if ( $revision->getUser() ) {
			$told['editor'] = self::user( $revision->getUser() );
		}
		if ( $visible['text'] ) {
			$told['rev_sha1'] = $revision->getSha1();
			foreach ( $revision->getSlots()->getSlots() as $role => $slot ) {
				$told['content_slots'][$role] = [
					'slot_role' => $role,
					'content_model' => $slot->getModel(),
					'content_sha1' => $slot->getSha1(),
					'content_size' => $slot->getSize(),
					'content_format' => $slot->getFormat() ?? $slot->getContent()->getDefaultFormat(),
					'origin_rev_id' => $slot->getOrigin(),
				];
			}
		}
		return $told;
	}

	private static function revisionEvent( RevisionRecord $revision ): array {
		$title = Title::castFromPageIdentity( $revision->getPage() );
		$event = [
			'database' => WikiMap::getCurrentWikiId(),
			'page_id' => $revision->getPageId(),
			'page_title' => $title->getPrefixedDBkey(),
			'page_namespace' => $title->getNamespace(),
			'rev_id' => $revision->getId(),
			'rev_timestamp' => self::dt( $revision->getTimestamp() ),
			'rev_minor_edit' => $revision->isMinor(),
			'rev_parent_id' => (int)$revision->getParentId(),
			'rev_len' => $revision->getSize(),
		];
		$slot = $revision->getSlot( SlotRecord::MAIN, RevisionRecord::RAW );
		$content = $slot->getContent();
		return $event + [
			'rev_content_model' => $slot->getModel(),
			'rev_content_format' => $slot->getFormat() ?? $content->getDefaultFormat(),
			'page_is_redirect' => $content->isRedirect(),
		] + ( $revision->isDeleted( RevisionRecord::DELETED_TEXT ) ? [] : [ 'rev_sha1' => $revision->getSha1() ] );
	}

	/** With the figures as they are now. */
	private static function user( UserIdentity $identity ): array {
		$services = MediaWikiServices::getInstance();
		$user = $services->getUserFactory()->newFromUserIdentity( $identity );
		$told = [
			'user_text' => $user->getName(),
			'groups' => $services->getUserGroupManager()->getUserEffectiveGroups( $user ),
			'is_temp' => false,
			'wiki_id' => WikiMap::getCurrentWikiId(),
			'is_bot' => $user->isRegistered() && $user->isBot(),
			'is_system' => $user->isSystemUser(),
		];
		if ( $user->isRegistered() ) {
			$told += [ 'user_id' => $user->getId(), 'edit_count' => (int)$user->getEditCount() ];
			$told['registration_dt'] = self::dt( $user->getRegistration() );
		}
		return $told;
	}

	private static function oldUser( UserIdentity $identity ): array {
		$told = self::user( $identity );
		$names = [
			'user_text' => 'user_text',
			'groups' => 'user_groups',
			'is_bot' => 'user_is_bot',
			'user_id' => 'user_id',
			'registration_dt' => 'user_registration_dt',
			'edit_count' => 'user_edit_count',
		];
		$old = [];
		foreach ( $names as $new => $name ) {
			if ( isset( $told[$new] ) ) {
				$old[$name] = $told[$new];
			}
		}
		return $old;
	}

	public static function parsed( string $comment ): string {
		return MediaWikiServices::getInstance()->getCommentFormatter()->format( $comment );
	}
}

/** MediaWiki's own JSON, with what Wikimedia's has since, and without nulls. */
final class ProofFormatter extends MachineReadableRCFeedFormatter {
	private RecentChange $change;

	public function getLine( array $feed, RecentChange $rc, $actionComment ) {
		$this->change = $rc;
		return parent::getLine( $feed, $rc, $actionComment );
	}

	protected function formatArray( array $packet ) {
		$packet['$schema'] = '/mediawiki/recentchange/1.0.1';
		$packet['title_url'] = $this->change->getTitle()->getCanonicalURL();
		if ( isset( $packet['revision'] ) ) {
			$query = http_build_query( [
				'diff' => $packet['revision']['new'],
				'oldid' => $packet['revision']['old'],
				'rcid' => $packet['id'],
			] );
			$packet['notify_url'] = "{$packet['server_url']}{$packet['server_script_path']}/index.php?$query";
		}
		$packet['parsedcomment'] = ProofStreams::parsed( $packet['comment'] );
		foreach ( [ 'length', 'revision' ] as $pair ) {
			if ( isset( $packet[$pair] ) ) {
				$packet[$pair] = array_filter( $packet[$pair], static fn ( $value ) => $value !== null );
			}
		}
		return json_encode( array_filter( $packet, static fn ( $value ) => $value !== null ), JSON_THROW_ON_ERROR );
	}
}

final class ProofFeed extends FormattedRCFeed {
	public function send( array $feed, $line ) {
		$event = json_decode( $line, true, 512, JSON_THROW_ON_ERROR );
		ProofStreams::send( 'recentchange', $event, $event['title_url'] );
		return true;
	}
}

/** What 1.39's API can't: deleting and restoring pages as a suppressor does by the form. */
final class ProofSuppress extends ApiBase {
	public function execute() {
		$this->checkUserRightsAny( 'suppressrevision' );
		[ 'title' => $name, 'restore' => $restore, 'reason' => $reason ] = $this->extractRequestParams();
		$page = MediaWikiServices::getInstance()->getWikiPageFactory()->newFromTitle( Title::newFromText( $name ) );
		if ( $restore ) {
			$undelete = MediaWikiServices::getInstance()->getUndeletePageFactory()
				->newUndeletePage( $page, $this->getAuthority() );
			$status = $undelete->setUnsuppress( true )->undeleteIfAllowed( $reason );
		} else {
			$delete = MediaWikiServices::getInstance()->getDeletePageFactory()
				->newDeletePage( $page, $this->getAuthority() );
			$status = $delete->setSuppress( true )->forceImmediate( true )->deleteIfAllowed( $reason );
		}
		if ( !$status->isGood() ) {
			$this->dieStatus( $status );
		}
		$this->getResult()->addValue( null, $this->getModuleName(), [ 'done' => true ] );
	}

	public function getAllowedParams() {
		return [ 'title' => [ ApiBase::PARAM_REQUIRED => true ], 'restore' => false, 'reason' => '' ];
	}

	public function mustBePosted() {
		return true;
	}

	public function isWriteMode() {
		return true;
	}

	public function needsToken() {
		return 'csrf';
	}
}

$wgRCFeeds['proof'] = [ 'class' => ProofFeed::class, 'formatter' => ProofFormatter::class, 'omit_bots' => false ];
$wgHooks['PageSaveComplete'][] = 'ProofStreams::saved';
$wgHooks['PageMoveComplete'][] = 'ProofStreams::moved';
$wgHooks['PageDeleteComplete'][] = 'ProofStreams::deleted';
$wgHooks['ArticleUndelete'][] = 'ProofStreams::undeleted';
$wgHooks['ArticleRevisionVisibilitySet'][] = 'ProofStreams::visibilitySet';
$wgHooks['ChangeTagsAfterUpdateTags'][] = 'ProofStreams::tagged';
$wgAPIModules['proofsuppress'] = ProofSuppress::class;
